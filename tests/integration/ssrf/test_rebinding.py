"""Whatever a name resolves to next and wherever a server redirects, no field reaches a place that it may not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ssrf.chains import REDIRECTED
from tests.integration.ssrf.driver import CONTROLS
from tests.integration.ssrf.fields import FIELDS, OK
from tests.integration.ssrf.world import name
from tests.servers.requirements import require, require_namespaces

pytestmark = pytest.mark.timeout(420)  # the first test waits for all that is tried
ROOT = Path(__file__).parents[3]
DENIED = {"egress_denied", "source_denied", "inventory_denied", "galaxy_denied", "invalid_request"}
Report = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What the driver found out, in namespaces that end with it."""
    require_namespaces()
    for program in ("ip", "mount", "bwrap", "git", "sshd", "moto_server", "bao"):
        require(program)
    directory = tmp_path_factory.mktemp("ssrf")
    argv = [require("setpriv"), "--pdeathsig", "KILL", "--", require("unshare"), "--net", "--mount", "--"]
    argv += [sys.executable, "-m", "tests.integration.ssrf.driver", str(directory)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    found: Report = json.loads((directory / "report.json").read_text())
    return found


def test_the_sink_sees_who_calls_any_place_but_the_allowed_one(report: Report) -> None:
    seen = [reached.rpartition(" ")[0] for reached in report["controls"]["direct"]]
    assert sorted(seen) == sorted(CONTROLS)


def test_the_sink_sees_who_checks_a_name_and_resolves_it_again(report: Report) -> None:
    assert len(report["controls"]["resolved again"]) == 4


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_reaches_the_allowed_address_and_no_other(report: Report, field: str) -> None:
    told, tried = report["fields"][field], FIELDS[field]
    outcomes = told["outcomes"]
    assert told["sink"] == []
    assert outcomes[name("outside")] == {OK: tried.times["outside"]}
    assert told["allowed"] >= tried.times["outside"]
    for host in (*tried.never, *({"both", "two-families"} & set(tried.times))):
        assert set(outcomes[name(host)]) <= DENIED, host
    assert set(outcomes[name("rebind")]) & DENIED
    assert {host for host in tried.literals if OK in outcomes[host]} == set()


def test_rebinding_names_led_to_the_allowed_address_as_well(report: Report) -> None:
    names = (name("rebind"), name("flip"))
    reached = [
        field for field, told in report["fields"].items() if any(OK in told["outcomes"].get(n, {}) for n in names)
    ]
    assert len(reached) > len(FIELDS) / 2


@pytest.mark.parametrize("field", REDIRECTED)
def test_a_redirect_leads_nowhere_else(report: Report, field: str) -> None:
    told = report["redirected"][field]
    assert told["sink"] == []
    assert told["allowed"] >= len(REDIRECTED[field].chains)
    assert len(told["outcomes"]) == len(set(REDIRECTED[field].chains))
    assert {way for way, came in told["outcomes"].items() if OK in came} == set()
