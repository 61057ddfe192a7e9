import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import Trial, command_lines, repository
from tests.servers.requirements import require
from tests.waiting import wait_for

from ansible_api.credentials.secrets import Secrets, SshKey
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Status
from ansible_api.settings import HostKeyPolicy

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: over there
      raw: echo over-$((40 + 2))
"""


@dataclass(frozen=True)
class Server:
    port: int
    known_hosts: str
    client_key: str


def make_key(path: Path) -> str:
    subprocess.run([require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    program = require("sshd")
    folder = tmp_path / "sshd"
    folder.mkdir()
    make_key(folder / "host")
    client = make_key(folder / "client")
    Path("/run/sshd").mkdir(exist_ok=True)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/host", f"PidFile {folder}/pid"]
    lines += [f"AuthorizedKeysFile {folder}/client.pub", "PasswordAuthentication no", "UsePAM no", "StrictModes no"]
    (folder / "config").write_text("\n".join([*lines, "PermitRootLogin yes", ""]))
    public = (folder / "host.pub").read_text().strip()
    process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port))
        yield Server(port, f"[127.0.0.1]:{port} {public}", client)
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    with closing(socket.socket()) as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def spec(tmp_path: Path, server: Server) -> JobSpec:
    repo = repository(tmp_path / "repo", {"site.yml": PLAY})
    host = {"ansible_host": "127.0.0.1", "ansible_port": server.port}
    source = {"type": "playbook", "repo": str(repo), "path": "site.yml"}
    inventory = {"type": "inline", "hosts": ["target"], "host_vars": {"target": host}}
    return JobSpec.model_validate({"source": source, "inventory": inventory})


def masters(trial: Trial) -> list[str]:
    return [line for _, line in command_lines() if "[mux]" in line and str(trial.config.work_dir.parent) in line]


def test_the_jobs_key_and_known_host_open_the_target(trial: Trial, tmp_path: Path, server: Server) -> None:
    user = os.environ.get("USER", "root")
    trial.secrets = Secrets({"/credentials/ssh": SshKey(SecretStr(server.client_key), user, server.known_hosts)})
    assert trial.run(spec(tmp_path, server)).status is Status.SUCCESSFUL
    assert "over-42" in trial.result("over there")["stdout"]
    assert masters(trial) == []
    assert trial.leftovers() == []


def test_another_host_key_is_refused(trial: Trial, tmp_path: Path, server: Server) -> None:
    make_key(tmp_path / "other")
    wrong = server.known_hosts.split()[0] + " " + (tmp_path / "other.pub").read_text()
    trial.secrets = Secrets({"/credentials/ssh": SshKey(SecretStr(server.client_key), "root", wrong)})
    outcome = trial.run(spec(tmp_path, server))
    assert (outcome.status, outcome.message) == (Status.FAILED, "unreachable: target")


@pytest.mark.parametrize(
    ("policy", "status"), [(HostKeyPolicy.STRICT, Status.FAILED), (HostKeyPolicy.ACCEPT_NEW, Status.SUCCESSFUL)]
)
def test_an_unknown_host_key_is_judged_by_the_policy(
    trial: Trial, tmp_path: Path, server: Server, policy: HostKeyPolicy, status: Status
) -> None:
    trial.config = replace(trial.config, ssh_host_keys=policy)
    trial.secrets = Secrets({"/credentials/ssh": SshKey(SecretStr(server.client_key), "root")})
    assert trial.run(spec(tmp_path, server)).status is status
