"""How soon a job begins: with an idle worker, before what is less urgent, and beside a flood of others' jobs."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.acceptance.repos import HELLO, make_repo, play
from tests.acceptance.service import local_job
from tests.waiting import wait_for

from bench.figures import Figure, median, percentile
from bench.installations import Installation, Servers, on_servers, run

SLOTS = 2
IDLE, IDLE_GOAL = 40, 0.05
LOW, HIGH = 200, 5
FLOOD, TRICKLE = 200, SLOTS + 1  # jobs of the flooding team that wait or run
TURNS, CALM = 3, 20  # rounds of flood and trickle, and measured jobs in each
CHANGE_GOAL = 1.2
# Takes its time, but no processor's: what is measured is waiting in line, not waiting for a core.
SLOW = play("""
- name: Take a while
  command: sleep 1
""")


def measure(folder: Path) -> list[Figure]:
    repo = make_repo(folder / "repo", {"site.yml": HELLO, "slow.yml": SLOW})
    with on_servers(folder / "servers") as servers, ExitStack() as stack:
        servers.service.start_api()
        for queue, slots in (("default", SLOTS), ("git-heavy", 1), ("delivery", SLOTS)):
            servers.service.start_worker(queue, name=queue, concurrency=slots)
        flooding = stack.enter_context(servers.installation.client())
        calm = stack.enter_context(_client_of_another_team(servers))
        quick, slow = local_job(repo), local_job(repo, "slow.yml")
        return [
            _idle(flooding, quick),
            _urgent(flooding, slow),
            _beside("team", flooding, slow, lambda: _waited(calm, quick)),
            _beside("queue", flooding, slow, lambda: _waited(calm, quick | {"options": {"queue": "git-heavy"}})),
        ]


def _client_of_another_team(servers: Servers) -> httpx.Client:
    there = servers.installation
    key = servers.service.run("keys", "create", "--name", "calm", "--team", "calm", "--role", "admin")
    return Installation(there.name, there.url, key, there.mark).client()


def _waited(client: httpx.Client, request: Mapping[str, Any]) -> float:
    """Seconds from the submission of a job until a worker took it."""
    return float(run(client, request)["timings"]["queued"])


def _idle(client: httpx.Client, request: Mapping[str, Any]) -> Figure:
    for queue in ({}, {"queue": "git-heavy"}):
        run(client, dict(request) | {"options": queue})  # warm
    waits = [_waited(client, request) for _ in range(IDLE)]
    p95 = percentile(waits, 0.95)
    how = f"{IDLE} jobs one after another; median {1000 * median(waits):.0f} ms, worst {1000 * max(waits):.0f} ms"
    name = "p95 queued → taken by an idle worker"
    return Figure(name, f"{1000 * p95:.0f} ms", f"< {1000 * IDLE_GOAL:.0f} ms", p95 < IDLE_GOAL, how)


def _urgent(client: httpx.Client, request: Mapping[str, Any]) -> Figure:
    low = [_submit(client, request, priority=2) for _ in range(LOW)]
    high = [_submit(client, request, priority=8) for _ in range(HIGH)]
    asked = _job(client, high[-1])["created_at"]
    wait_for(lambda: all(_job(client, job_id)["started_at"] for job_id in high), 60)
    last = max(_job(client, job_id)["started_at"] for job_id in high)
    between = sum(asked < (_job(client, job_id)["started_at"] or "") < last for job_id in low)
    _cancel(client)
    how = f"{LOW} jobs of priority 2, then {HIGH} of priority 8, {SLOTS} slots"
    return Figure("low jobs that start between high ones submitted after them", str(between), "0", between == 0, how)


def _beside(what: str, flooding: httpx.Client, slow: Mapping[str, Any], waited: Callable[[], float]) -> Figure:
    waits: dict[int, list[float]] = {TRICKLE: [], FLOOD: []}
    for _ in range(TURNS):
        for depth, seen in waits.items():
            with _kept_in_line(flooding, slow, depth):
                seen += [waited() for _ in range(CALM)]
    trickle, flood = (percentile(seen, 0.95) for seen in waits.values())
    how = (
        f"{1000 * flood:.0f} ms with {FLOOD} jobs of another team in queue default, {1000 * trickle:.0f} ms with "
        f"{TRICKLE}, {SLOTS} slots busy in both cases, {TURNS * CALM} jobs each, in turn"
    )
    shared = "same queue" if what == "team" else "queue with a pool of its own"
    name = f"p95 wait beside a flooding {what}, {shared}: with ÷ without the flood"
    return Figure(name, f"{flood / trickle:.2f}", f"< {CHANGE_GOAL}", flood / trickle < CHANGE_GOAL, how)


@contextmanager
def _kept_in_line(client: httpx.Client, request: Mapping[str, Any], depth: int) -> Iterator[None]:
    """So many jobs wait or run, all the time."""
    over = threading.Event()

    def fill() -> None:
        while not over.wait(0.1):
            for _ in range(depth - _there(client)):
                _submit(client, request)

    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(fill)
        try:
            wait_for(lambda: _there(client) == depth, 60)
            yield
        finally:
            over.set()
            filling.result()  # else what it could not do would not be seen
            _cancel(client)


def _there(client: httpx.Client) -> int:
    queues = {queue["name"]: queue for queue in client.get("/api/v1/queues").json()["items"]}
    return int(queues["default"]["depth"] + queues["default"]["running"])


def _submit(client: httpx.Client, request: Mapping[str, Any], **options: object) -> str:
    answer = client.post("/api/v1/jobs", json={**request, "options": options})
    return str(answer.raise_for_status().json()["id"])


def _job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}").json()
    return job


def _cancel(client: httpx.Client) -> None:
    """End all that waits and runs, and wait until it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        there = client.get("/api/v1/jobs", params={"status": ["queued", "running"], "limit": 100}).json()["items"]
        if not there:
            return
        for job in there:
            client.post(f"/api/v1/jobs/{job['id']}/cancel")
    raise RuntimeError("jobs that were canceled do not end")
