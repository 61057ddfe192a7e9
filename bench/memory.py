"""Resident memory of a worker's children after some jobs, and of an API process after 500 requests."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import httpx
from tests.acceptance.repos import HELLO, make_repo
from tests.acceptance.service import local_job

from ansible_api.processes import parent
from bench.figures import Figure
from bench.installations import Installation, on_servers, run, wait_until_closed

JOBS, REQUESTS = 20, 500
CHILD_GOAL, API_GOAL = 130, 170  # MiB


class Memory(NamedTuple):
    """MiB: what is resident, and the part that remains when shared pages are divided among their users."""

    rss: float
    pss: float


def measure(folder: Path) -> list[Figure]:
    request = local_job(make_repo(folder / "repo", {"site.yml": HELLO}))
    with on_servers(folder / "servers") as servers:
        servers.service.start_api()
        servers.start_workers()
        place = servers.installation
        with place.client() as client:
            for _ in range(JOBS):
                job = run(client, request)
            wait_until_closed(client, job)
            children = _largest(_children(place))
            for worker in servers.service.processes[1:]:
                worker.terminate()
                worker.wait(30)
            _requests(client, job["id"], request)
        api = _largest(place.pids("api"))
    how_child = f"the largest of all children after {JOBS} jobs; PSS {children.pss:.0f} MiB"
    how_api = f"after {JOBS} jobs with their waits and {REQUESTS} requests of 7 kinds; PSS {api.pss:.0f} MiB"
    return [
        Figure(
            "worker child, VmRSS",
            f"{children.rss:.0f} MiB",
            f"< {CHILD_GOAL} MiB",
            children.rss < CHILD_GOAL,
            how_child,
        ),
        Figure("API process, VmRSS", f"{api.rss:.0f} MiB", f"< {API_GOAL} MiB", api.rss < API_GOAL, how_api),
    ]


def _requests(client: httpx.Client, job_id: str, request: dict[str, object]) -> None:
    paths = ("", "/hosts", "/events", "/logs", "/deliveries")
    for number in range(REQUESTS):
        kind = number % (len(paths) + 2)
        if kind == 0:
            answer = client.post("/api/v1/jobs", json=request)
        elif kind == 1:
            answer = client.get("/api/v1/jobs", params={"limit": 100})
        else:
            answer = client.get(f"/api/v1/jobs/{job_id}{paths[kind - 2]}")
        answer.raise_for_status()


def _children(place: Installation) -> list[int]:
    workers = set(place.pids("worker"))
    return [pid for pid in workers if parent(pid) in workers]


def _largest(pids: Iterable[int]) -> Memory:
    return max(Memory(_mib(pid, "status", "VmRSS:"), _mib(pid, "smaps_rollup", "Pss:")) for pid in pids)


def _mib(pid: int, file: str, field: str) -> float:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
