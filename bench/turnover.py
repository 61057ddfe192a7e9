"""How many jobs a second pass through database and broker, from their place in line to their closing, with no play.

As a program it is one worker: it takes its order as JSON from standard input and tells what it did on standard output.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from ansible_api.db import Base, Database, new_id, now_plus
from ansible_api.dispatch import PRODUCTS
from ansible_api.execution.verdict import Outcome
from ansible_api.jobs import closing, store, workers
from ansible_api.jobs.model import Job, JobObject, WorkerNode
from ansible_api.jobs.state import LogStatus, Phase, Status
from ansible_api.jobs.store import Fence
from ansible_api.redis import client
from ansible_api.routing import Queue
from ansible_api.settings import Settings
from ansible_api.tasks import results
from ansible_api.tasks.feed import feed
from ansible_api.tasks.results import Result
from bench.figures import Figure
from bench.installations import Servers, on_servers
from bench.processor import seconds_of

WORKERS, SLOTS = 4, 4
PRESENCE = 5.0  # seconds, as a worker's upkeep
JOBS = 1200
GOAL = 50  # jobs a second; a million a day, all of them in a third of it, are 35
CHANGE_GOAL = 1.2
SPEC = {
    "source": {"type": "playbook", "repo": "https://git.example.com/a.git", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1"]},
    "options": {},
}
TEAMS, KEYS = 5, 50


@dataclass(frozen=True)
class Scene:
    """What is there when the measured workers begin."""

    name: str
    waiting: int
    others: int = 0  # workers besides, all of whose slots are busy


SMALL = Scene("1,500 waiting", 1500)
LONG_LINE = Scene("20,000 waiting", 20_000)
LARGE = Scene("1,500 waiting and 2,000 running on 500 other workers", 1500, others=500)


@dataclass(frozen=True)
class Turnover:
    """What was seen: jobs a second, and milliseconds of processor time of a job."""

    rate: float
    mariadb: float
    redis: float


def measure(folder: Path) -> list[Figure]:
    seen = {scene: turnover(folder / str(number), scene) for number, scene in enumerate((SMALL, LONG_LINE, LARGE))}
    rate, mariadb, redis = astuple(seen[SMALL])
    how = (
        f"{JOBS} jobs of {KEYS} keys, {SMALL.name}: line, message, claim, start of the play, end, closing; {WORKERS} "
        f"processes on {os.cpu_count()} cores; a job cost MariaDB {mariadb:.1f} ms and Redis {redis:.1f} ms of CPU"
    )
    figures = [Figure("jobs from line to end, nothing played", f"{rate:.0f}/s", f"≥ {GOAL}/s", rate >= GOAL, how)]
    for scene in (LONG_LINE, LARGE):
        slower = rate / seen[scene].rate
        how = f"{seen[scene].rate:.0f}/s; a job cost MariaDB {seen[scene].mariadb:.1f} ms"
        name = f"the same, {SMALL.name} ÷ {scene.name}"
        figures.append(Figure(name, f"{slower:.2f}", f"≤ {CHANGE_GOAL}", slower <= CHANGE_GOAL, how))
    return figures


def turnover(folder: Path, scene: Scene) -> Turnover:
    """Have workers carry jobs through a scene."""
    with on_servers(folder) as servers:
        _set(servers.service.env["DATABASE_URL"], scene)
        pids = servers.mariadb.process.pid, servers.redis.process.pid
        before = [seconds_of(pid) for pid in pids]
        seconds = _run(servers)
        mariadb, redis = (1000 * (seconds_of(pid) - was) / JOBS for pid, was in zip(pids, before, strict=True))
    return Turnover(JOBS / seconds, mariadb, redis)


def _set(url: str, scene: Scene) -> None:
    database = Database(url)
    moment = {"created_at": now_plus(), "queued_at": now_plus()}
    _insert(database, Job, [_job(number) for number in range(scene.waiting)], turn_at=now_plus(), **moment)
    nodes = [f"other{number}:1:0" for number in range(scene.others)]
    there = [{"node": node, "queues": [Queue.DEFAULT.value], "slots": SLOTS} for node in nodes]
    _insert(database, WorkerNode, there, started_at=now_plus(), seen_at=now_plus(3600))
    busy = {"status": Status.RUNNING, "phase": Phase.PLAYING, "attempt": 1}
    running = [_job(slot) | busy | {"lease_owner": f"{node}/{slot}"} for node in nodes for slot in range(SLOTS)]
    _insert(database, Job, running, lease_until=now_plus(3600), started_at=now_plus(), **moment)
    database.close()


def _job(number: int) -> dict[str, Any]:
    return {
        "id": new_id("job"),
        "team": f"team{number % TEAMS}",
        "key_id": f"key{number % KEYS}",
        "spec": SPEC,
        "queue": Queue.DEFAULT.value,
        "priority": 5,
        "route_reason": "made",
    }


def _insert(database: Database, table: type[Base], rows: list[dict[str, Any]], **moments: Any) -> None:
    for start in range(0, len(rows), 1000):
        some = rows[start : start + 1000]
        database.write(lambda session, some=some: session.execute(insert(table).values(moments), some) and None)


def _run(servers: Servers) -> float:
    """Seconds until the workers have ended so many jobs."""
    argv = [sys.executable, "-m", "bench.turnover"]
    order = json.dumps({"settings": servers.service.env, "jobs": JOBS // WORKERS})
    with ExitStack() as stack:
        processes = []
        for _ in range(WORKERS):
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in processes:
            _tell(process, order)
        for process in processes:
            _hear(process)  # it is ready
        began = time.monotonic()
        for process in processes:
            _tell(process, "go")
        for process in processes:
            _hear(process)  # it has done its part
        return time.monotonic() - began


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError("a worker failed")


class _Broker:
    """A list in Redis: what Celery does with it is no matter of the line."""

    def __init__(self, url: str) -> None:
        self._redis = client(url)

    def enqueue(self, job_id: str, *, attempt: int, queue: Queue, priority: int) -> None:
        self._redis.lpush("bench", job_id)

    def take(self) -> str | None:
        found: Any = self._redis.brpop(["bench"], timeout=1)
        return found[1].decode() if found else None


def _work(settings: Settings, count: int) -> None:
    node = f"bench:{os.getpid()}:0"
    database, broker = (
        Database(settings.database_url.get_secret_value()),
        _Broker(settings.redis_url.get_secret_value()),
    )
    print("ready", flush=True)
    sys.stdin.readline()
    ended, seen_at = 0, 0.0
    while ended < count:
        if time.monotonic() - seen_at > PRESENCE:
            database.write(workers.register, node, [Queue.DEFAULT.value], SLOTS)
            seen_at = time.monotonic()
        feed(database, broker, settings, [Queue.DEFAULT])  # type: ignore[arg-type]
        if (job_id := broker.take()) is not None and _carry(database, job_id, f"{node}/1", settings):
            ended += 1
    database.close()
    print("done", flush=True)


def _carry(database: Database, job_id: str, owner: str, settings: Settings) -> bool:
    """What the rows of a job see of its life."""
    job = database.write(store.claim, job_id, owner, settings.lease_preparing)
    if job is None:
        return False
    fence = Fence(job.id, job.attempt, owner)
    begun = {"phase": Phase.PLAYING, "play_started_at": now_plus(), "lease_until": now_plus(settings.lease_playing)}
    database.write(store.write_running, fence, **begun)
    counts = {"ok": 1, "changed": 0, "failed": 0, "unreachable": 0, "skipped": 0, "rescued": 0, "ignored": 0}
    result = Result(fence, Outcome(Status.SUCCESSFUL, 0, None, None), {"events": 10}, {"web1": counts})  # type: ignore[dict-item]
    results.record(database, result)
    database.write(_close, job.id, job.attempt)
    return True


def _close(session: Any, job_id: str, attempt: int) -> None:
    about = {"job_id": job_id, "attempt": attempt, "size": 1, "sha256": "0" * 64, "created_at": now_plus()}
    products = [JobObject(kind=kind, key=f"jobs/{job_id}/{kind}", **about) for kind in PRODUCTS]
    closing.close(session, job_id, attempt, log_status=LogStatus.STORED, events=10, products=products)


def main() -> None:
    order = json.loads(sys.stdin.readline())
    _work(Settings(**{name.lower(): value for name, value in order["settings"].items()}), order["jobs"])


if __name__ == "__main__":
    main()
