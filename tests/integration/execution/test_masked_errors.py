"""Errors in Ansible's own words are cut short and cleaned of paths: no part of a secret is left by that."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import Trial, repository, spec_of

from ansible_api.credentials.secrets import Secrets, Variables
from ansible_api.errors import JobError
from ansible_api.execution.inventory_errors import LONGEST
from ansible_api.execution.mask import MASK
from ansible_api.execution.verdict import MESSAGE_LIMIT
from ansible_api.jobs.state import Phase

SECRET = "0123456789abcdef"
TEXT = f"/a/{SECRET}//b@c/"  # a part of it looks like a path, another like a login
PLAY = "- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: hello}}]\n"


@pytest.fixture
def knowing(trial: Trial) -> Trial:
    """A job with a secret."""
    trial.secrets = Secrets({"/credentials/environment": Variables({"KNOWN": SecretStr(TEXT)})})
    return trial


def message_of(trial: Trial, repo: Path, **parts: Any) -> str:
    with pytest.raises(JobError) as caught:
        trial.run(spec_of(repo, **parts))
    return caught.value.detail


def test_what_an_inventory_plugin_says(knowing: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": PLAY})

    def said(before: int) -> str:
        inventory = {"type": "dynamic", "plugin": "constructed", "config": {"x" * before + TEXT: 1}}
        return message_of(knowing, repo, inventory=inventory)

    whole = said(0)
    assert whole == f"inventory: unknown option {MASK}: correct config"
    cut = said(LONGEST - len("unknown option ") - 8)
    assert SECRET[:4] not in cut
    assert "xxx" in cut


def test_what_ansible_says_of_a_playbook_that_is_only_planned(knowing: Trial, tmp_path: Path) -> None:
    def said(before: int) -> str:
        repo = repository(tmp_path / str(before), {"site.yml": f'- hosts: all\n  "{"x" * before}{TEXT}": 1\n'})
        return message_of(knowing, repo, options={"dry_run": "plan"})

    whole = said(0)
    assert MASK in whole
    cut = said(MESSAGE_LIMIT - whole.index(MASK) - 8)
    assert SECRET[:4] not in cut
    assert "xxx" in cut


def test_hosts_that_are_named_by_a_secret_are_told_without_it(knowing: Trial, tmp_path: Path) -> None:
    knowing.secrets = Secrets({"/credentials/environment": Variables({"KNOWN": SecretStr(SECRET)})})
    repo = repository(tmp_path / "repo", {"site.yml": PLAY})
    hosts = (f"host-{SECRET}", "other")
    knowing.run(spec_of(repo, hosts=hosts))
    (facts,) = [phase.facts["inventory"] for phase in knowing.phases if phase.phase is Phase.STARTING]
    assert facts["matched_hosts"] == [f"host-{MASK}", "other"]
    assert SECRET not in knowing.text
