"""The fork server: one per worker process, with no secret in it, gone with its worker, and soon replaced."""

import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_api import processes
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution import forks
from ansible_api.execution.git_http import trusting
from ansible_api.execution.source import Checkout
from tests.integration.git.workers import LIMITS, LOGIN, Worker, is_alive
from tests.servers.git_servers import TOKEN, USERNAME, GitRepository, HttpsGitServer
from tests.waiting import wait_for

# Forks after its first checkout; both processes then say what they have, and wait to be killed.
TWO_WORKERS = """
import os, signal, sys
from pathlib import Path
from ansible_api.execution.source import GitLimits, checkout
from ansible_api.processes import children
repo, home = sys.argv[1], Path(sys.argv[2])
def work(name):
    cache = home / "cache" / name  # its own: who asks the same of one cache at once gets one answer, from one server
    checkout(repo, "main", None, cache=cache, secrets_dir=home / "secrets", destination=home / name,
        limits=GitLimits(), keep_going=lambda: True)
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(bytes(1)) for pid in children(os.getpid())}
    own = [pid for pid, command in commands.items() if b"ansible_api.execution.fork_server" in command]
    print(name, os.getpid(), *own, flush=True)
work("before")
if not os.fork():
    work("child")
    signal.pause()
work("parent")
signal.pause()
"""


def fork_servers(of: int) -> list[int]:
    """The living fork servers that a process has started."""
    return [
        pid
        for pid in processes.children(of)
        if is_alive(pid) and b"ansible_api.execution.fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def own_server() -> int:
    (server,) = fork_servers(os.getpid())
    return server


@dataclass
class Held:
    """A checkout in the middle of its fetch."""

    server: int
    fork: int
    outcome: "Future[Checkout]"


@pytest.fixture
def held(worker: Worker, repository: GitRepository, https: HttpsGitServer) -> Iterator[Held]:
    with fetching(worker, https.url(repository.path), https) as held:
        yield held


@contextmanager
def fetching(worker: Worker, repo: str, https: HttpsGitServer) -> Iterator[Held]:
    https.hold_next_fetch()
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(lambda: worker.checkout(repo, "main", LOGIN)[0])
        try:
            assert https.holding.wait(30)
            server = own_server()
            (fork,) = processes.children(server)
            yield Held(server, fork, outcome)
        finally:
            https.released.set()


def sockets_of(pid: int) -> set[str]:
    links = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return {link for link in links if link.startswith("socket:")}


def memory_of(pid: int) -> Iterator[bytes]:
    """All that a process can write to, piece by piece."""
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            first, last = (int(end, 16) for end in place.split("-"))
            if rights.startswith("rw") and "[vvar" not in line:
                memory.seek(first)
                yield memory.read(last - first)


class TestOneForAll:
    def test_it_is_started_once_for_many_checkouts_and_leaves_no_zombie(self, worker, repository, https):
        servers = set()
        for _ in range(3):
            worker.checkout(https.url(repository.path), "main", LOGIN)
            servers.add(own_server())
        assert len(servers) == 1
        assert processes.children(servers.pop()) == []

    def test_many_threads_share_it(self, worker, repository):
        with ThreadPoolExecutor(20) as pool:
            for done in [pool.submit(worker.checkout, repository, None) for _ in range(40)]:
                done.result(60)
        assert processes.children(own_server()) == []

    def test_each_fork_has_the_limits_of_its_job_and_the_server_has_none(self, held):
        def address_space(pid: int) -> list[str]:
            lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
            return next(line.split()[3:5] for line in lines if line.startswith("Max address space"))

        assert address_space(held.fork) == [str(LIMITS.memory)] * 2
        assert address_space(held.server) == ["unlimited"] * 2

    def test_each_fork_leads_a_session_and_is_where_its_home_is(self, worker, held):
        assert os.getsid(held.fork) == held.fork != os.getsid(held.server)
        assert Path(f"/proc/{held.fork}/cwd").readlink() == worker.secrets
        assert Path(f"/proc/{held.server}/cwd").readlink() == Path("/")


def test_authorities_are_loaded_once_and_again_when_they_changed(https):
    before = trusting()
    assert trusting() is before
    os.utime(https.certificate, (1, 1))
    assert trusting() is not before


class TestSecrets:
    def test_a_token_is_in_the_fork_only(self, held):
        written = b64encode(f"{USERNAME}:{TOKEN}".encode())
        secrets = (TOKEN.encode(), written)
        assert all(any(secret in piece for piece in memory_of(held.fork)) for secret in secrets)
        assert not any(secret in piece for piece in memory_of(held.server) for secret in secrets)
        for name in ("environ", "cmdline"):
            text = Path(f"/proc/{held.server}/{name}").read_bytes() + Path(f"/proc/{held.fork}/{name}").read_bytes()
            assert text
            assert not any(secret in text for secret in secrets)

    def test_a_fork_holds_nothing_of_other_forks_or_of_the_server(self, worker, held, silent_port):
        def alone() -> bool:
            others = set(processes.children(held.server)) - {held.fork}
            return any(
                sockets_of(fork) and not sockets_of(fork) & (sockets_of(held.server) | sockets_of(held.fork))
                for fork in others
            )

        with pytest.raises(JobError) as caught:
            worker.checkout(f"https://127.0.0.1:{silent_port}/x", "main", None, lambda: not alone())
        assert caught.value.job_code == "canceled"


class TestEnds:
    @pytest.mark.parametrize(
        ("signum", "code", "retryable"),
        [
            (signal.SIGKILL, "source_unreachable", True),
            (signal.SIGXCPU, "source_too_large", False),
            (signal.SIGSEGV, "source_invalid", False),
        ],
    )
    def test_how_a_fork_died_decides_the_error_and_the_server_lives_on(self, worker, held, signum, code, retryable):
        os.kill(held.fork, signum)
        with pytest.raises(JobError) as caught:
            held.outcome.result(30)
        assert (caught.value.job_code, caught.value.retryable) == (code, retryable)
        assert processes.children(held.server) == []
        assert own_server() == held.server

    def test_a_canceled_fetch_leaves_no_process(self, worker, repository, https):
        https.hold_next_fetch()
        with pytest.raises(JobError) as caught:
            worker.checkout(https.url(repository.path), "main", LOGIN, lambda: not https.holding.is_set())
        assert caught.value.job_code == "canceled"
        assert processes.children(own_server()) == []

    def test_a_killed_server_costs_its_fetches_one_transient_error(self, worker, repository, https, held):
        os.kill(held.server, signal.SIGKILL)
        with pytest.raises(TransientJobError) as caught:
            held.outcome.result(30)
        assert caught.value.job_code == "source_unreachable"
        wait_for(lambda: not is_alive(held.fork), message="the fork outlived its server")
        https.released.set()
        assert worker.checkout(https.url(repository.path), "main", LOGIN)[0].cache == "miss"
        assert own_server() != held.server
        assert held.server not in processes.children(os.getpid())

    def test_a_server_killed_between_two_checkouts_costs_nothing(self, worker, repository):
        worker.checkout(repository, "main")
        before = own_server()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: not is_alive(before))
        assert worker.checkout(repository, "main")[0].cache == "hit"
        assert own_server() != before

    def test_a_server_that_hangs_is_given_up_and_replaced(self, worker, repository, held, monkeypatch):
        monkeypatch.setattr(forks, "AT_ONCE", 0.2)
        os.kill(held.server, signal.SIGSTOP)
        os.kill(held.fork, signal.SIGKILL)
        with pytest.raises(TransientJobError):
            held.outcome.result(30)
        assert worker.checkout(repository, "main")[0].cache == "miss"
        assert not is_alive(held.server)

    def test_a_polite_signal_ends_no_fetch(self, worker, https, held):
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(held.server, signum)
        https.released.set()
        assert held.outcome.result(30).cache == "miss"
        assert own_server() == held.server


class TestWorkerProcesses:
    @pytest.fixture
    def two(self, worker: Worker, repository: GitRepository) -> Iterator[dict[str, list[int]]]:
        """What `before` the fork, `parent` and `child` say: their own pid and that of their server."""
        argv = [sys.executable, "-c", TWO_WORKERS, str(repository.path), str(worker.home)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            said = {name: list(map(int, pids)) for name, *pids in (process.stdout.readline().split() for _ in range(3))}
            try:
                yield said
            finally:
                for pid, *_ in said.values():
                    processes.send(pid, signal.SIGKILL)

    def test_a_forked_worker_gets_a_server_of_its_own(self, two):
        assert two["before"] == two["parent"]
        assert two["child"][0] != two["parent"][0]
        assert two["child"][1] != two["parent"][1]

    def test_a_killed_worker_leaves_no_server_even_when_its_forks_live_on(self, two):
        os.kill(two["parent"][0], signal.SIGKILL)
        wait_for(lambda: not is_alive(two["parent"][1]), message="the server outlived its worker")
        assert all(map(is_alive, two["child"]))
        os.kill(two["child"][0], signal.SIGKILL)
        wait_for(lambda: not is_alive(two["child"][1]), message="the server outlived its worker")

    def test_a_worker_killed_in_a_fetch_leaves_no_process(self, worker, repository, https):
        https.hold_next_fetch()
        with worker.start(https.url(repository.path)) as doomed:
            assert https.holding.wait(30)
            below = processes.descendants(doomed.pid)
            assert len(below) == 2
            os.kill(doomed.pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, below)), message="something outlived the worker")
