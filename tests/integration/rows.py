"""Rows for the tests of the stores, and threads that all want the same at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from ansible_api.db import Database, new_id, now_plus
from ansible_api.jobs import store
from ansible_api.jobs.model import Job, JobHost
from ansible_api.jobs.state import Status
from ansible_api.jobs.store import Fence

T = TypeVar("T")
SPEC = {
    "source": {"type": "playbook", "repo": "https://git.example.com/a.git", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1"]},
    "options": {},
}
OWNER = "node:1/2"
INSERTED = ("key_id", "priority", "concurrency_group", "concurrency_limit", "urgency", "republish_after")


def new_job(db: Database, *, team: str = "red", queue: str = "default", **columns: Any) -> str:
    """The id of a waiting job, with some columns set afterwards."""
    values = {
        "key_id": "k",
        "spec": columns.pop("spec", SPEC),
        "priority": 5,
        "route_reason": "test",
        "trace_parent": None,
        "relaunch_of": None,
        "concurrency_group": None,
        "concurrency_limit": None,
        "urgency": 0.0,
        "republish_after": 5.0,
    } | {name: columns.pop(name) for name in INSERTED if name in columns}
    job = db.write(store.insert_job, id=new_id("job"), team=team, queue=queue, **values)
    if columns:
        put(db, job.id, **columns)
    return job.id


def running(db: Database, **columns: Any) -> Fence:
    """A job that OWNER has claimed."""
    job_id = new_job(db)
    job = db.write(store.claim, job_id, OWNER, 60.0)
    assert job is not None
    if columns:
        put(db, job_id, **columns)
    return Fence(job_id, job.attempt, OWNER)


def put(db: Database, job_id: str, **columns: Any) -> None:
    """Set columns as no store function would."""
    db.write(lambda session: session.execute(update(Job).where(Job.id == job_id).values(**columns)) and None)


def past(seconds: float = 1) -> Any:
    return now_plus(-seconds)


def row(db: Database, job_id: str) -> dict[str, Any]:
    """All that the database holds about a job."""

    def read(session: Session) -> dict[str, Any]:
        job = session.execute(select(Job.__table__).where(Job.id == job_id)).mappings().one()
        hosts = session.execute(select(JobHost.__table__).where(JobHost.job_id == job_id)).mappings().all()
        return {**job, "hosts": [dict(host) for host in hosts]}

    return db.read(read)


def status(db: Database, job_id: str) -> Status:
    return Status(row(db, job_id)["status"])


def rows_read(session: Session) -> int:
    """How many rows this session has had MariaDB read so far."""
    found = session.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")).all()
    return sum(int(number) for _, number in found)


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """What `count` threads got that all began at the same moment."""
    barrier = threading.Barrier(count)

    def wait_and_work(number: int) -> T:
        barrier.wait(10)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_work, range(count)))
