"""compose.yaml on a real engine, from the Dockerfile to a finished job; the servers' images are stand-ins."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.repos import HELLO, make_repo
from tests.servers.docker_engine import DockerEngine, docker_engine
from tests.servers.images import ROOT, build_images
from tests.servers.requirements import require
from tests.waiting import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
FILE = ROOT / "compose.yaml"
URL = "http://127.0.0.1:8000"
ONE_SHOTS = {"secrets", "migrate", "bucket"}
PROFILES = ("--profile", "flower", "--profile", "vault")


@dataclass(frozen=True)
class Installation:
    """What `docker compose up` started, and an admin's key for it."""

    engine: DockerEngine
    files: tuple[str, ...]
    key: str = ""

    def compose(self, *arguments: str) -> str:
        return self.engine.compose(*self.files, *arguments)

    def curl(self, path: str, *options: str) -> str:
        """What a call of the API answers, as this machine would get it from the published port."""
        headers = ["-H", f"Authorization: Bearer {self.key}", "-H", "Content-Type: application/json"]
        return self.engine.inside(require("curl"), "-sS", "--fail-with-body", *headers, *options, URL + path)

    def containers(self) -> dict[str, Any]:
        """What the engine tells of each service's container."""
        ids = self.compose(*PROFILES, "ps", "--all", "--quiet").split()
        found = json.loads(self.engine.docker("inspect", *ids))
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    services = yaml.safe_load(FILE.read_text())["services"]
    stages = {"mariadb": "mariadb", "redis": "valkey", "s3": "seaweedfs", "openbao": "openbao"}
    with docker_engine(tmp_path_factory.mktemp("engine")) as engine:
        build_images(engine, services["api"]["image"], {stages[name]: services[name]["image"] for name in stages})
        yield engine


@pytest.fixture(scope="module")
def installation(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("compose")
    files = ("--file", str(FILE), "--file", str(_with_a_repository(folder)))
    installed = Installation(engine, files)
    try:
        installed.compose("up", "--detach", "--wait", "--no-build", "--quiet-pull")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{installed.compose('logs', '--no-color', '--tail', '30')}") from None
    create = ("ansible-api", "keys", "create", "--name", "me", "--role", "admin")
    key = installed.compose("exec", "-T", "api", *create).strip()
    return Installation(engine, files, key)  # it ends with its engine


def _with_a_repository(folder: Path) -> Path:
    """An addition to compose.yaml: a git server would be the only other one that is needed."""
    repo = make_repo(folder / "hello", {"site.yml": HELLO})
    local = {"environment": {"ANSIBLE_API_ALLOW_LOCAL_REPOS": "true"}}
    worker = local | {"volumes": [f"{repo}:/srv/hello:ro"]}
    path = folder / "repository.yaml"
    services = {"api": local, "worker-default": worker, "worker-git-heavy": worker}
    path.write_text(yaml.safe_dump({"services": services}))
    return path


def test_one_request_ends_in_a_finished_job(installation: Installation) -> None:
    job = json.loads(installation.curl("/api/v1/jobs?wait=60", "--data", _hello()))
    assert job["status"] == "successful", job
    said = wait_for(lambda: _stored(installation, job["id"]), timeout=30, message="the log was not stored")
    assert said["log_status"] == "stored", said
    # The answer is a link into the bucket, under a name that leads there from containers and from this machine.
    assert "hello web1" in installation.curl(f"/api/v1/jobs/{job['id']}/logs", "--location")


def _stored(installation: Installation, job_id: str) -> Any:
    job = json.loads(installation.curl(f"/api/v1/jobs/{job_id}"))
    return job if job["log_status"] != "pending" else None


def _hello(queue: str = "default") -> str:
    source = {"type": "playbook", "repo": "/srv/hello", "path": "site.yml"}
    inventory = {"type": "inline", "hosts": ["web1"]}
    return json.dumps({"source": source, "inventory": inventory, "options": {"queue": queue}})


def test_every_part_is_healthy_and_what_runs_once_has_ended_well(installation: Installation) -> None:
    containers = installation.containers()
    states = {name: one["State"] for name, one in containers.items()}
    assert {name: states[name]["ExitCode"] for name in ONE_SHOTS} == dict.fromkeys(ONE_SHOTS, 0)
    lasting = states.keys() - ONE_SHOTS
    assert {name: states[name]["Health"]["Status"] for name in lasting} == dict.fromkeys(lasting, "healthy")


@pytest.mark.parametrize("service", ["api", "worker-default", "mariadb", "redis", "s3"])
def test_a_part_is_not_root_has_no_capability_and_cannot_write_its_system(
    installation: Installation, service: str
) -> None:
    look = "id -u; grep CapBnd /proc/self/status; grep NoNewPrivs /proc/self/status; touch /usr/x 2>/dev/null; echo $?"
    said = installation.compose("exec", "-T", service, "sh", "-c", look).split()
    uid, _, capabilities, _, no_new_privileges, written = said
    assert (uid != "0", int(capabilities, 16), no_new_privileges, written != "0") == (True, 0, "1", True)


def test_only_the_readers_of_a_secret_have_it(installation: Installation) -> None:
    def secrets(service: str) -> set[str]:
        return set(installation.compose("exec", "-T", service, "ls", "/run/secrets").split())

    assert secrets("mariadb") == {"password", "root-password"}
    assert "master-key" in secrets("worker-default") - secrets("s3") - secrets("redis")


def test_no_secret_is_in_an_environment_or_on_a_command_line(installation: Installation) -> None:
    find = (
        "cat /run/secrets/master-key /run/secrets/s3-secret-access-key; sed 's/.*:\\(.*\\)@.*/\\1/' /run/secrets/*-url"
    )
    known = installation.compose("exec", "-T", "api", "sh", "-c", find).split()
    assert len(known) == 4
    told = json.dumps([[one["Config"]["Env"], one["Args"]] for one in installation.containers().values()])
    assert [secret for secret in known if secret in told] == []


def test_a_second_up_changes_nothing_and_keeps_the_secrets(installation: Installation) -> None:
    def made() -> str:
        return installation.compose("exec", "-T", "api", "cat", "/run/secrets/master-key")

    before = made()
    installation.compose("up", "--detach", "--wait", "--no-build")
    assert made() == before
    assert json.loads(installation.curl("/api/v1/jobs"))["items"] is not None


def test_flower_and_openbao_start_when_asked_for(installation: Installation) -> None:
    installation.compose(*PROFILES, "up", "--detach", "--wait", "--no-build", "flower", "openbao")
    token = installation.compose(*PROFILES, "exec", "-T", "openbao", "cat", "/run/secrets/token").strip()
    curl = (require("curl"), "-sS", "--fail")
    vault = installation.engine.inside(
        *curl, "-H", f"X-Vault-Token: {token}", "http://127.0.0.1:8200/v1/auth/token/lookup-self"
    )
    assert json.loads(vault)["data"]["policies"] == ["root"]
    assert "worker" in installation.engine.inside(*curl, "http://127.0.0.1:5555/")
    # It asks nobody for a password, so plays must not reach it.
    reach = "import socket; socket.create_connection(('flower', 5555), 3)"
    with pytest.raises(AssertionError, match=r"not known|resolution|timed out"):
        installation.compose("exec", "-T", "worker-default", "python3", "-c", reach)


def test_plays_are_in_a_sandbox_when_asked_for(installation: Installation) -> None:
    sandbox = ("--file", str(ROOT / "compose.sandbox.yaml"))
    assert "isolation" in installation.compose("logs", "worker-git-heavy")
    assert "bubblewrap (" not in installation.compose("logs", "worker-git-heavy")
    installation.compose(*sandbox, "up", "--detach", "--wait", "--no-build", "worker-git-heavy")
    assert "bubblewrap (" in installation.compose(*sandbox, "logs", "worker-git-heavy")
    job = json.loads(installation.curl("/api/v1/jobs?wait=60", "--data", _hello("git-heavy")))
    assert job["status"] == "successful", job
