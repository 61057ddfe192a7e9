"""Checkouts over https beside `git clone --depth 1` of the same server, and many at once of what the worker has.

In memory where the machine has a file system there: what a disk takes for a thousand files is not ours to make better.
"""

import multiprocessing
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from pydantic import SecretStr
from tests.servers.git_histories import repository_of_roles, repository_with_history
from tests.servers.git_servers import TOKEN, USERNAME, GitRepository, HttpsGitServer, https_git_server

from ansible_api.credentials.secrets import GitLogin
from ansible_api.egress import Policy
from ansible_api.execution.source import GitLimits, checkout
from bench.figures import Figure, median, percentile
from bench.source import trusting

MEMORY = Path("/dev/shm")
REPETITIONS = 9
COLD, WARM = 2.5, 0.3  # of the time that git takes
JOBS, ROUNDS, AT_ONCE = 200, 3, 1.0  # seconds that 95 of 100 of them may take
LOGIN = GitLogin(USERNAME, SecretStr(TOKEN))
REPOSITORIES: dict[str, Callable[[Path], GitRepository]] = {
    "40 roles": repository_of_roles,
    "1,200 files and 5,000 commits": repository_with_history,
}


def measure(folder: Path) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-git-", dir=MEMORY if MEMORY.is_dir() else folder) as place:
        home = Path(place)
        for name in ("certificates", "served", "secrets"):
            (home / name).mkdir()
        with https_git_server(home / "certificates", home / "served") as server, trusting(server.certificate):
            return list(_figures(home, server))


def _figures(home: Path, server: HttpsGitServer) -> Iterator[Figure]:
    repositories = {what: make(home / "served" / str(n)) for n, (what, make) in enumerate(REPOSITORIES.items())}
    for what, repository in repositories.items():
        yield from _ratios(Worker(home / "alone", home / "secrets"), what, server.url(repository.path))
    for processes in (JOBS, 2):
        yield _at_once(
            Worker(home / f"many{processes}", home / "secrets"), processes, server.url(repositories["40 roles"].path)
        )


@dataclass
class Worker:
    """A worker's directories; each of its caches is a new one."""

    home: Path
    secrets: Path

    def seconds(self, url: str, cache: str, destination: str) -> float:
        """How long one checkout takes."""
        self.home.mkdir(exist_ok=True)
        started = time.perf_counter()
        checkout(
            url,
            "main",
            LOGIN,
            cache=self.home / cache,
            secrets_dir=self.secrets,
            destination=self.home / destination,
            limits=GitLimits(egress=Policy(allow_loopback=True)),
            keep_going=lambda: True,
        )
        return time.perf_counter() - started


def _ratios(worker: Worker, what: str, url: str) -> Iterator[Figure]:
    times: dict[str, list[float]] = {"git": [], "cold": [], "warm": []}
    key = url.replace("/", "")
    worker.seconds(url, f"first{key}", f"first{key}-0")
    for turn in range(REPETITIONS):
        times["git"].append(_clone(url, worker.home / f"clone{key}-{turn}"))
        for kind in ("cold", "warm"):
            times[kind].append(worker.seconds(url, f"cache{key}-{turn}", f"{kind}{key}-{turn}"))
    git = median(times["git"])
    for kind, goal in (("cold", COLD), ("warm", WARM)):
        ratio = median(times[kind]) / git
        how = f"{1000 * median(times[kind]):.0f} ms and {1000 * git:.0f} ms, medians of {REPETITIONS}, interleaved"
        title = f"checkout ÷ `git clone --depth 1`, https, {what}, {kind}"
        yield Figure(title, f"{ratio:.2f}", f"≤ {goal}", ratio <= goal, how)


def _clone(url: str, target: Path) -> float:
    address = url.replace("https://", f"https://{USERNAME}:{TOKEN}@")
    started = time.perf_counter()
    trust = {**os.environ, "GIT_SSL_CAINFO": os.environ["SSL_CERT_FILE"]}
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", address, str(target)], check=True, env=trust)
    return time.perf_counter() - started


def _at_once(worker: Worker, processes: int, url: str) -> Figure:
    worker.seconds(url, "cache", "first")
    rounds = [_together(worker, processes, url, turn) for turn in range(ROUNDS)]
    times, processor = min(rounds, key=lambda each: percentile(each[0], 0.95))
    late = percentile(times, 0.95)
    how = f"best of {ROUNDS}; median {1000 * median(times):.0f} ms, {processor:.1f} s of processor time for all"
    title = f"{JOBS} checkouts at once of 40 roles cached and unmoved, {processes} processes, p95"
    return Figure(title, f"{1000 * late:.0f} ms", f"< {1000 * AT_ONCE:.0f} ms", late < AT_ONCE, how)


def _together(worker: Worker, processes: int, url: str, turn: int) -> tuple[list[float], float]:
    """Seconds of each checkout, and seconds of processor time that their workers took."""
    context = multiprocessing.get_context("fork")
    gate, taken = context.Barrier(JOBS), context.Queue()
    workers = [
        context.Process(target=_jobs, args=(worker, url, f"{turn}-{number}-", JOBS // processes, gate, taken))
        for number in range(processes)
    ]
    for process in workers:
        process.start()
    done = [taken.get() for _ in workers]
    for process in workers:
        process.join()
    took = [seconds for times, _ in done for seconds in times]
    if not all(took):
        raise RuntimeError("not all checkouts came to their end")
    return took, sum(processor for _, processor in done)


def _jobs(
    worker: Worker, url: str, name: str, jobs: int, gate: Barrier, taken: "Queue[tuple[list[float], float]]"
) -> None:
    times, began = [0.0] * jobs, time.process_time()

    def one(number: int) -> None:
        gate.wait()
        times[number] = worker.seconds(url, "cache", f"{name}{number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken.put((times, time.process_time() - began))
