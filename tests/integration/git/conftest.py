"""A worker, a repository, and the servers that serve it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ansible_api.credentials.secrets import GitLogin, SshKey
from tests.integration.git.workers import LOGIN, Worker
from tests.servers.git_servers import (
    GitRepository,
    HttpsGitServer,
    SshGitServer,
    git_repository,
    https_git_server,
    ssh_git_server,
)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    (tmp_path / "secrets").mkdir(mode=0o700)
    return Worker(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    repository = git_repository(tmp_path / "served" / "project")
    repository.commit({"site.yml": "- hosts: all\n", "roles/web/tasks/main.yml": "[]\n"})
    return repository


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsGitServer]:
    (tmp_path / "https").mkdir()
    with https_git_server(tmp_path / "https", tmp_path / "served") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshGitServer]:
    with ssh_git_server(tmp_path_factory.mktemp("sshd"), "AcceptEnv GIT_PROTOCOL") as server:
        yield server


@pytest.fixture(scope="module")
def ssh_protocol_0(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshGitServer]:
    with ssh_git_server(tmp_path_factory.mktemp("sshd0")) as server:
        yield server


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def ssh_login(ssh: SshGitServer) -> SshKey:
    return SshKey(SecretStr(ssh.private_key), known_hosts=ssh.known_hosts)


@pytest.fixture(params=["path", "https", "https protocol 0", "ssh", "ssh protocol 0"])
def address(request: pytest.FixtureRequest, repository: GitRepository) -> tuple[str, SshKey | GitLogin | None]:
    """The repository as each kind of server gives it, and what opens it."""
    if request.param == "path":
        return str(repository.path), None
    if request.param.startswith("ssh"):
        ssh: SshGitServer = request.getfixturevalue(request.param.replace(" ", "_"))
        return ssh.url(repository.path), SshKey(SecretStr(ssh.private_key), known_hosts=ssh.known_hosts)
    https: HttpsGitServer = request.getfixturevalue("https")
    https.newest_protocol = request.param == "https"
    return https.url(repository.path), LOGIN
