"""Collections and roles from real git servers, with the login of the job's source for its own host and no other."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.execution.asking import Job, installed
from tests.servers.galaxy import GalaxyServer
from tests.servers.git_servers import (
    TOKEN,
    USERNAME,
    GitRepository,
    HttpsGitServer,
    SshGitServer,
    git_repository,
    https_git_server,
    ssh_git_server,
)

from ansible_api.credentials.secrets import GitLogin, Secrets, SshKey
from ansible_api.egress import Policy
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.preparation import ExecutionConfig, GalaxyLimits
from ansible_api.settings import Isolation

GALAXY_YML = "namespace: acme\nname: fromgit\nversion: 3.1.4\nreadme: README.md\nauthors: [tests]\n"
COLLECTION = {"galaxy.yml": GALAXY_YML, "README.md": "x", "roles/r/tasks/main.yml": "[]\n"}
ROLE = {"meta/main.yml": "galaxy_info: {}\ndependencies: []\n", "tasks/main.yml": "[]\n"}


@pytest.fixture
def isolation() -> Isolation:
    return Isolation.AUTO


BOTH = pytest.mark.parametrize("isolation", [Isolation.BUBBLEWRAP, Isolation.NONE])


@pytest.fixture
def job(tmp_path: Path, isolation: Isolation) -> Job:
    policy = Policy(allow_private=True, allow_loopback=True)
    limits = GalaxyLimits(timeout=60)
    return Job(
        ExecutionConfig(tmp_path / "work", tmp_path / "git", isolation, egress=policy, galaxy=limits),
        GalaxyServer(),
    )


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsGitServer]:
    (tmp_path / "https").mkdir()
    with https_git_server(tmp_path / "https", tmp_path / "served") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshGitServer]:
    (tmp_path / "ssh").mkdir()
    with ssh_git_server(tmp_path / "ssh", "LogLevel VERBOSE") as server:
        yield server


@pytest.fixture
def collection(tmp_path: Path) -> GitRepository:
    repository = git_repository(tmp_path / "served" / "collection")
    repository.commit(COLLECTION)
    return repository


@pytest.fixture
def role(tmp_path: Path) -> GitRepository:
    repository = git_repository(tmp_path / "served" / "role")
    repository.commit(ROLE)
    return repository


def requirements(collection: str, role: str, version: str = "main") -> dict[str, str]:
    text = f"collections: [{{source: '{collection}', type: git, version: '{version}'}}]\n"
    return {"requirements.yml": f"{text}roles: [{{src: '{role}', scm: git, name: mine, version: main}}]\n"}


def connections(ssh: SshGitServer) -> int:
    return ssh.process.log.read_text().count("Connection from")


def test_over_https_with_the_token_of_the_source(
    job: Job, https: HttpsGitServer, collection: GitRepository, role: GitRepository
):
    job.secrets = Secrets({"/source/git_credential": GitLogin(USERNAME, SecretStr(TOKEN))})
    job.files = requirements(https.url(collection.path), https.url(role.path))
    left: list[str] = []

    def look(needed: Dependencies) -> None:
        left.extend(str(path) for path in job.secrets_dir.iterdir())

    found = installed(job.prepare(repo=https.url(role.path), look=look))
    assert found == {"acme.fromgit": "3.1.4", "mine": "main"}
    assert left == []


@BOTH
def test_over_ssh_with_the_key_of_the_source(
    job: Job, ssh: SshGitServer, collection: GitRepository, role: GitRepository
):
    key = SshKey(SecretStr(ssh.private_key), username=ssh.user, known_hosts=ssh.known_hosts)
    job.secrets = Secrets({"/source/git_credential": key})
    job.files = requirements(ssh.url(collection.path), ssh.url(role.path))
    assert connections(ssh) == 1  # of the fixture, which waits for it
    assert installed(job.prepare(repo=ssh.url(role.path))) == {"acme.fromgit": "3.1.4", "mine": "main"}
    assert connections(ssh) > 1


def test_another_host_gets_no_login(job: Job, https: HttpsGitServer, collection: GitRepository, role: GitRepository):
    job.secrets = Secrets({"/source/git_credential": GitLogin(USERNAME, SecretStr(TOKEN))})
    job.files = requirements(https.url(collection.path), https.url(role.path))
    error = job.fails(repo="https://git.example/role.git")
    assert error.job_code == "galaxy_refused"
    assert TOKEN not in error.detail
    assert {request.authorization for request in https.requests} == {None}


def test_another_host_is_offered_no_key(job: Job, ssh: SshGitServer, collection: GitRepository, role: GitRepository):
    key = SshKey(SecretStr(ssh.private_key), username=ssh.user, known_hosts=ssh.known_hosts)
    job.secrets = Secrets({"/source/git_credential": key})
    job.files = requirements(ssh.url(collection.path), ssh.url(role.path))
    assert job.fails(repo="ssh://git@git.example/role.git").job_code == "galaxy_refused"
    assert "Accepted publickey" not in ssh.process.log.read_text()


def test_a_ref_that_is_not_there(job: Job, https: HttpsGitServer, collection: GitRepository, role: GitRepository):
    job.secrets = Secrets({"/source/git_credential": GitLogin(USERNAME, SecretStr(TOKEN))})
    job.files = requirements(https.url(collection.path), https.url(role.path), version="v9")
    assert job.fails(repo=https.url(role.path)).job_code == "version_not_found"


def test_ssh_goes_nowhere_that_is_denied(job: Job, ssh: SshGitServer, collection: GitRepository, role: GitRepository):
    job.config = replace(job.config, egress=Policy())
    job.files = requirements(ssh.url(collection.path), ssh.url(role.path))
    assert job.fails().job_code == "galaxy_denied"
    assert connections(ssh) == 1  # of the fixture, which waits for it
