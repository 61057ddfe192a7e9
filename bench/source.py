"""The source phase of a repository of 1,200 files that the worker has already and that has not moved."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr
from tests.acceptance.repos import HELLO
from tests.acceptance.service import local_job
from tests.servers.git_servers import TOKEN, USERNAME, git_repository, https_git_server

from ansible_api.credentials.secrets import GitLogin
from ansible_api.db import new_id
from ansible_api.egress import Policy
from ansible_api.execution.source import GitLimits, checkout
from ansible_api.execution.workspace import workspace
from bench.figures import Figure, median
from bench.installations import embedded, run, wait_until_closed

FILES = 1200
WARM_UP, REPETITIONS = 2, 15
GOAL = 0.15


def measure(folder: Path) -> list[Figure]:
    repo = folder / "git" / "repo"
    files = {f"roles/role{number // 40}/tasks/part{number}.yml": _tasks(number) for number in range(FILES - 1)}
    git_repository(repo).commit(files | {"site.yml": HELLO})
    (folder / "certificates").mkdir()
    with https_git_server(folder / "certificates", folder / "git") as server, trusting(server.certificate):
        urls = {"local path": str(repo), "https": server.url(repo)}
        return [*_checkouts(folder / "checkouts", urls), *_jobs(folder / "up", urls)]


def _tasks(number: int) -> str:
    return f"- name: Task {number}\n  ansible.builtin.debug:\n    msg: {'text ' * 200}\n"


@contextmanager
def trusting(certificate: Path) -> Iterator[None]:
    """Let workers started meanwhile, and this process, trust the server."""
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(certificate)
    try:
        yield
    finally:
        os.environ.pop("SSL_CERT_FILE")
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before


def _checkouts(folder: Path, urls: dict[str, str]) -> Iterator[Figure]:
    """`execution.source.checkout` by itself."""
    login = GitLogin(username=USERNAME, token=SecretStr(TOKEN))

    def one(url: str) -> float:
        with workspace(folder / "work", f"{new_id('job')}.1") as room:
            started = time.perf_counter()
            checkout(
                url,
                "main",
                login if url.startswith("https") else None,
                cache=folder / "cache",
                secrets_dir=room.secrets,
                destination=room.project,
                limits=GitLimits(egress=Policy(allow_loopback=True)),
                keep_going=lambda: True,
            )
            return time.perf_counter() - started

    return _figures("checkout", urls, one)


def _jobs(folder: Path, urls: dict[str, str]) -> Iterator[Figure]:
    """`timings.source` of whole jobs."""
    with embedded(folder, {"ANSIBLE_API_LOOPBACK_EGRESS": "true"}) as place, place.client() as client:
        credential = {"name": "git", "kind": "git", "username": USERNAME, "token": TOKEN}
        client.post("/api/v1/credentials", json=credential).raise_for_status()
        yield from _figures("source phase of a job", urls, lambda url: _phase(client, url))


def _phase(client: httpx.Client, url: str) -> float:
    request = local_job(Path("/"))
    request["source"]["repo"] = url
    if url.startswith("https"):
        request["source"]["git_credential"] = "git"
    job = run(client, request)
    wait_until_closed(client, job)
    return float(job["timings"]["source"])


def _figures(what: str, urls: dict[str, str], timed: Callable[[str], float]) -> Iterator[Figure]:
    times: dict[str, list[float]] = {name: [] for name in urls}
    for turn in range(WARM_UP + REPETITIONS):
        for name, url in urls.items():
            seconds = timed(url)
            if turn >= WARM_UP:
                times[name].append(seconds)
    for name, values in times.items():
        middle = median(values)
        how = f"median of {REPETITIONS}, interleaved; worst {1000 * max(values):.0f} ms"
        title = f"{what}, {FILES:,} files cached and unmoved, {name}"
        yield Figure(title, f"{1000 * middle:.0f} ms", f"< {1000 * GOAL:.0f} ms", middle < GOAL, how)
