"""The private Docker engine of the tests leaves this machine as it was."""

import subprocess
from pathlib import Path

import pytest

from tests.servers.docker_engine import CGROUPS, docker_engine, running
from tests.servers.requirements import require

pytestmark = pytest.mark.engine
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def links() -> str:
    return subprocess.run([require("ip"), "-brief", "link"], check=True, capture_output=True, text=True).stdout


def test_an_engine_has_its_own_network_and_nothing_of_it_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("engine")  # a short path
    before = links(), FORWARDING.read_text(), Path("/proc/self/mounts").read_text()
    with docker_engine(directory) as engine:
        assert "docker0" in engine.inside(require("ip"), "-brief", "link")
        assert engine.docker("images", "--quiet") == ""
        assert running(engine.first_process)
    assert (links(), FORWARDING.read_text(), Path("/proc/self/mounts").read_text()) == before
    assert not running(engine.first_process)
    assert not directory.exists()
    assert list(CGROUPS.glob("**/ansible-api-tests-*")) == []
