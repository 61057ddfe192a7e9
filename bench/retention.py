"""How fast old jobs go with their logs, and what submissions notice of it; MariaDB and a directory of objects."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session
from tests.many_jobs import fill

from ansible_api.db import Database
from ansible_api.events import keys
from ansible_api.jobs.model import Job, JobAttempt, JobHost, JobObject
from ansible_api.objects import ObjectStore, with_store
from ansible_api.settings import Settings
from ansible_api.tasks.retention import BUSY_PAUSE, Retention
from bench.figures import Figure, percentile
from bench.installations import Servers, on_servers
from bench.submissions import load

JOBS, HOSTS = 5000, 10
RATE, COUNT, WARM_UP = 100, 2000, 500
P99_GOAL = 0.1
GOAL = 2_000_000 / 86_400  # a second: a day of a million jobs, each of which is taken for its log and for its row


def measure(folder: Path) -> list[Figure]:
    with on_servers(folder) as servers:
        settings = Settings(**{name.lower(): value for name, value in servers.service.env.items()})
        database = Database(servers.service.env["DATABASE_URL"])
        _make(database, settings)
        servers.service.start_api()
        ports = [servers.service.port]
        load(servers, ports, WARM_UP)
        without = _p99(servers, ports)
        with ThreadPoolExecutor(1) as pool:
            removal = pool.submit(_remove, database, settings)
            during = _p99(servers, ports)
            early, seconds = removal.done(), removal.result()
        if early:
            raise RuntimeError(f"nothing was removed any more at the end of the load, after {seconds:.0f} s: more JOBS")
        if left := database.read(_rows_left):
            raise RuntimeError(f"{left} rows are left of the jobs")
        database.close()
    how = (
        f"{JOBS} jobs with {HOSTS} hosts and two objects each, in batches of 100 with a worker's pauses of "
        f"{BUSY_PAUSE:g} s: {seconds:.0f} s, while {RATE} jobs/s come for {COUNT / RATE:.0f} s"
    )
    rate, goal = JOBS / seconds, f"< {1000 * P99_GOAL:.0f} ms"
    return [
        Figure("old jobs that go with their logs", f"{rate:.0f}/s", f"≥ {GOAL:.0f}/s", rate >= GOAL, how),
        Figure(
            f"p99 of submissions at {RATE}/s meanwhile",
            f"{1000 * during:.0f} ms",
            goal,
            during < P99_GOAL,
            f"{1000 * without:.0f} ms without",
        ),
    ]


def _remove(database: Database, settings: Settings) -> float:
    """The seconds in which all that is old went."""
    work, began = Retention(database, settings), time.monotonic()
    while work.round():
        time.sleep(BUSY_PAUSE)
    return time.monotonic() - began


def _p99(servers: Servers, ports: list[int]) -> float:
    return percentile(load(servers, ports, COUNT, rate=RATE)["latencies"], 0.99)


def _make(database: Database, settings: Settings) -> None:
    until = datetime.now(UTC) - timedelta(days=100)
    fill(database, JOBS, until=until)
    ended = {"status": "successful", "log_status": "stored", "finished_at": until, "closed_at": until}
    database.write(lambda session: session.execute(update(Job).values(**ended)) and None)
    ids = database.read(lambda session: session.scalars(select(Job.id)).all())
    database.write(_add_rows, ids, until)

    async def keep(objects: ObjectStore) -> None:
        for job_id in ids:
            for key in _keys(job_id).values():
                await objects.put(key, b"x" * 4096)

    with_store(settings, keep)


def _add_rows(session: Session, ids: list[str], when: datetime) -> None:
    """What goes with a job: hosts, an attempt, and the two objects."""
    attempt = {"attempt": 1, "worker": "worker", "started_at": when, "outcome": "successful"}
    made = {"attempt": 1, "size": 4096, "sha256": "0" * 64, "created_at": when}
    session.execute(insert(JobAttempt), [{"job_id": job_id, **attempt} for job_id in ids])
    session.execute(
        insert(JobObject),
        [{"job_id": job_id, "kind": kind, "key": key, **made} for job_id in ids for kind, key in _keys(job_id).items()],
    )
    for number in range(HOSTS):
        session.execute(insert(JobHost), [{"job_id": job_id, "host": f"web{number}", "ok": 1} for job_id in ids])


def _keys(job_id: str) -> dict[str, str]:
    return {"log": keys.log_object(job_id, 1), "events": keys.events_object(job_id, 1)}


def _rows_left(session: Session) -> int:
    """Those that came meanwhile have none of these."""
    return sum(session.scalar(select(func.count()).select_from(each)) or 0 for each in (JobHost, JobAttempt, JobObject))
