"""Git connects to checked addresses only, whatever a name resolves to next, and still speaks to the named server."""

import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from pydantic import SecretStr

from ansible_api.credentials.secrets import SshKey
from ansible_api.egress import Policy
from ansible_api.errors import JobError, TransientJobError
from ansible_api.settings import HostKeyPolicy
from tests.integration.git.workers import HERE, LIMITS, LOGIN, Worker
from tests.servers.git_servers import SshGitServer, https_git_server, known_hosts_line, new_ssh_key

NAME = "git.example.org"
UNROUTED = "192.0.2.1"  # RFC 5737: nobody has it


@dataclass
class Names:
    """A resolver whose answers follow one another; the last one stays."""

    answers: list[Sequence[str]]
    asked: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Sink:
    """Counts who connects to loopback."""

    port: int
    connections: int = 0


@pytest.fixture
def sink() -> Iterator[Sink]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = Sink(listener.getsockname()[1])

        def count() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                sink.connections += 1
                connection.close()

        thread = threading.Thread(target=count)
        thread.start()
        yield sink
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(params=["https", "ssh", "scp-like"])
def named(request: pytest.FixtureRequest, sink: Sink) -> str:
    """A repository at the name, on the sink's port where the form can say it."""
    return {
        "https": f"https://{NAME}:{sink.port}/x.git",
        "ssh": f"ssh://git@{NAME}:{sink.port}/x.git",
        "scp-like": f"git@{NAME}:x.git",
    }[request.param]


def resolving(worker: Worker, *answers: Sequence[str], policy: Policy = HERE) -> Names:
    names = Names(list(answers))
    worker.limits = replace(LIMITS, egress=policy, resolver=names, connect_timeout=1.0)
    return names


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "64:ff9b::7f00:1"])
def test_a_name_that_means_this_machine_or_the_cloud_is_denied(worker, named, sink, address):
    resolving(worker, [address], policy=Policy(allow_private=True))
    with pytest.raises(JobError, match=f"{NAME} may not be reached") as caught:
        worker.checkout(named, "main")
    assert (caught.value.job_code, caught.value.retryable) == ("source_denied", False)
    assert sink.connections == 0


def test_one_denied_address_among_several_is_enough(worker, named, sink):
    resolving(worker, [UNROUTED, "127.0.0.1"], policy=Policy(allow_private=True))
    with pytest.raises(JobError) as caught:
        worker.checkout(named, "main")
    assert caught.value.job_code == "source_denied"
    assert sink.connections == 0


def test_a_name_that_is_rebound_after_the_check_gains_nothing(worker, named, sink):
    names = resolving(worker, [UNROUTED], ["127.0.0.1"], policy=Policy(allow_private=True))
    worker.limits = replace(worker.limits, timeout=2.0)
    with pytest.raises(TransientJobError) as caught:
        worker.checkout(named, "main")
    assert caught.value.job_code == "source_unreachable"
    assert [host for host, _ in names.asked] == [NAME]
    assert sink.connections == 0


def test_a_literal_address_is_checked_as_well(worker, sink):
    worker.limits = replace(LIMITS, egress=Policy(allow_private=True))
    for repo in (f"https://127.0.0.1:{sink.port}/x", f"ssh://git@127.0.0.1:{sink.port}/x", "git@127.0.0.1:x"):
        with pytest.raises(JobError) as caught:
            worker.checkout(repo, "main")
        assert caught.value.job_code == "source_denied"
    assert sink.connections == 0


def test_a_redirect_to_another_name_of_this_machine_is_not_followed(worker, https, sink):
    https.answer = lambda _request: (302, {"Location": f"https://127.0.0.1:{sink.port}/info/refs"})
    with pytest.raises(JobError) as caught:
        worker.checkout(f"https://127.0.0.1:{https.port}/project/.git", "main", LOGIN)
    assert caught.value.job_code == "source_refused"
    assert sink.connections == 0


def test_the_certificate_is_held_to_the_name_and_not_to_the_address(worker, repository, https):
    resolving(worker, ["127.0.0.1"])
    address = https.url(repository.path).replace("127.0.0.1", NAME)
    with pytest.raises(JobError, match="not trusted") as caught:
        worker.checkout(address, "main", LOGIN)
    assert caught.value.job_code == "source_host_key"


def test_a_named_https_server_is_spoken_to_by_its_name(worker, repository, tmp_path, monkeypatch):
    (tmp_path / "named").mkdir()
    with https_git_server(tmp_path / "named", tmp_path / "served", name=NAME) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        names = resolving(worker, ["127.0.0.1"])
        address = server.url(repository.path).replace("127.0.0.1", NAME)
        assert worker.checkout(address, "main", LOGIN)[0].cache == "miss"
        assert {request.host for request in server.requests} == {f"{NAME}:{server.port}"}
        assert names.asked == [(NAME, server.port)]


def test_the_next_address_is_tried_when_one_does_not_answer(worker, repository, https, ssh, ssh_login):
    resolving(worker, ["127.0.0.2", "127.0.0.1"])
    assert worker.checkout(https.url(repository.path), "main", LOGIN)[0].cache == "miss"
    named = ssh.url(repository.path).replace("127.0.0.1", NAME)
    key = replace(ssh_login, known_hosts=ssh.known_hosts.replace("127.0.0.1", NAME))
    assert worker.checkout(named, "main", key)[0].cache == "miss"


class TestHostKeysOfANamedServer:
    def address(self, worker: Worker, ssh: SshGitServer, path: object) -> str:
        resolving(worker, ["127.0.0.1"])
        return f"ssh://{ssh.user}@{NAME}:{ssh.port}{path}"

    def test_the_line_of_the_name_and_port_counts(self, worker, repository, ssh):
        address = self.address(worker, ssh, repository.path)
        key = SshKey(SecretStr(ssh.private_key), known_hosts=ssh.known_hosts.replace("127.0.0.1", NAME))
        assert worker.checkout(address, "main", key)[0].cache == "miss"

    def test_a_line_of_the_address_does_not_count(self, worker, repository, ssh):
        address = self.address(worker, ssh, repository.path)
        with pytest.raises(JobError) as caught:
            worker.checkout(address, "main", SshKey(SecretStr(ssh.private_key), known_hosts=ssh.known_hosts))
        assert caught.value.job_code == "source_host_key"

    def test_another_key_of_the_name_is_an_error(self, worker, repository, ssh, tmp_path):
        address = self.address(worker, ssh, repository.path)
        new_ssh_key(tmp_path / "other")
        line = known_hosts_line(ssh.port, tmp_path / "other.pub").replace("127.0.0.1", NAME)
        with pytest.raises(JobError) as caught:
            worker.checkout(address, "main", SshKey(SecretStr(ssh.private_key), known_hosts=line))
        assert caught.value.job_code == "source_host_key"

    def test_a_key_trusted_on_first_use_is_remembered_by_name_and_port(self, worker, repository, ssh):
        address = self.address(worker, ssh, repository.path)
        worker.limits = replace(worker.limits, host_keys=HostKeyPolicy.ACCEPT_NEW)
        assert worker.checkout(address, "main", SshKey(SecretStr(ssh.private_key)))[0].cache == "miss"
        (remembered,) = (worker.cache / "known_hosts").iterdir()
        assert remembered.read_text().split()[0] == f"[{NAME}]:{ssh.port}"
