"""Real plays with hostile texts wherever a request takes data: none of them is ever run.

Without a sandbox, so that what ran would leave its mark where it can be seen.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from tests.injections import ALL, MARK
from tests.integration.execution.plays import LOCAL, Trial, repository
from tests.servers.webhook_sink import Answer, WebhookSink

from ansible_api.credentials.secrets import Secrets, SshPassword, Variables
from ansible_api.egress import Policy
from ansible_api.jobs.options import Options
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Status
from ansible_api.settings import Isolation

PING = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Ping\n      ping:\n"
DATA = {f"v{number}": text for number, text in enumerate(ALL)}
SAYABLE = {name: text for name, text in DATA.items() if "\0" not in text}


@pytest.fixture
def isolation() -> Isolation:
    return Isolation.NONE


@pytest.fixture(autouse=True)
def mark() -> Iterator[Path]:
    path = Path(MARK)
    path.unlink(missing_ok=True)
    yield path
    assert not path.exists()


def job(repo: Path, source: dict[str, Any] | None = None, inventory: Any = None, **parts: Any) -> JobSpec:
    hosts = {"type": "inline", "hosts": ["a"], "group_vars": {"all": LOCAL | DATA}, "host_vars": {"a": DATA}}
    own = {"type": "playbook", "path": "site.yml"} if source is None else source
    return JobSpec.model_validate({"source": {"repo": str(repo), **own}, "inventory": inventory or hosts, **parts})


def test_variables_of_a_playbook_its_hosts_and_its_environment_are_data(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": PING})
    options = {"env": SAYABLE, "labels": {"text": ALL[0]}}
    assert trial.run(job(repo, extra_vars=DATA, options=options)).status is Status.SUCCESSFUL


def test_variables_of_a_role_are_data(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"roles/one/tasks/main.yml": "- ping:\n"})
    source = {"type": "role", "path": "roles/one", "role_vars": DATA}
    assert trial.run(job(repo, source, options={"gather_facts": False})).status is Status.SUCCESSFUL


def test_values_of_credentials_are_data(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": PING})
    texts = {name: SecretStr(text) for name, text in SAYABLE.items()}
    trial.secrets = Secrets(
        {
            "/credentials/environment": Variables(texts, texts),
            "/credentials/ssh": SshPassword(SecretStr("; ".join(SAYABLE.values()))),
        }
    )
    named = {"environment": "e", "ssh": "s"}
    assert trial.run(job(repo, credentials=named)).status is Status.SUCCESSFUL


def test_a_plan_shows_them_as_they_are(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": PING})
    assert trial.run(job(repo, extra_vars=DATA, options={"dry_run": "plan"})).status is Status.SUCCESSFUL
    assert trial.phases[-1].facts["plan"]["variables"] == DATA


def test_headers_of_an_inventory_are_data(trial: Trial, tmp_path: Path, webhook_sink: WebhookSink) -> None:
    trial.config = replace(trial.config, egress=Policy(allow_private=True, allow_loopback=True))
    repo = repository(tmp_path / "repo", {"site.yml": PING})
    webhook_sink.default = Answer(200, body=b"all: {hosts: {a: {ansible_connection: local}}}")
    headers = {f"X-{name}": text for name, text in SAYABLE.items() if text.isprintable() and "${" not in text}
    some = dict(list(headers.items())[:50])  # as many as a request may have
    assert len(some) == 50
    inventory = {"type": "url", "url": webhook_sink.url, "headers": some}
    assert trial.run(job(repo, inventory=inventory)).status is Status.SUCCESSFUL
    received = webhook_sink.requests[0].headers
    assert {name: received[name] for name in some} == {name: text.strip() for name, text in some.items()}


def test_the_first_task_may_be_called_anything(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": PING})
    taken = [text for text in ALL if _takes(start_at_task=text)]
    assert len(taken) > 30
    for text in taken[::8]:
        trial.run(job(repo, options={"start_at_task": text}))


def _takes(**option: str) -> bool:
    try:
        Options.model_validate(option)
    except ValidationError:
        return False
    return True
