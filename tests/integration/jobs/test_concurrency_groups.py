"""Five hundred jobs of one group race: never more than its limit at once, and all of them end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ansible_api.db import Database
from ansible_api.jobs import groups, line, store, workers
from ansible_api.jobs.fairness import Group
from ansible_api.jobs.line import Rules
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Status
from ansible_api.jobs.store import Fence
from tests.integration.rows import new_job

JOBS, LIMIT, SLOTS = 500, 3, 12
QUEUES = ("default", "git-heavy")
GROUP = Group("red", "web")


@dataclass
class Race:
    """Workers that claim what the line tells of, and what nobody told them of, as fast as they can."""

    db: Database
    messages: list[str] = field(default_factory=list)
    most: int = 0  # jobs that ran at once
    ended: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, number: int) -> None:
        owner = f"node:{number}/1"
        while self.ended < JOBS:
            with self.lock:
                job_id = self.messages.pop() if self.messages else None
            if job_id is None:
                self.feed()
                continue
            job, running = self.db.write(claim, job_id, owner)
            if job is None:
                self.db.write(line.put_back, job_id)
                continue
            assert self.db.write(store.finish, Fence(job.id, job.attempt, owner), Status.SUCCESSFUL)
            with self.lock:
                self.most = max(self.most, running)
                self.ended += 1

    def feed(self) -> None:
        rules = Rules(60.0)
        for queue in QUEUES:
            told = self.db.write(line.publish, queue, self.db.read(line.choose_next, queue, rules), rules)
            with self.lock:
                self.messages += [job.id for job in told]


def claim(session: Session, job_id: str, owner: str) -> tuple[Job | None, int]:
    """The job, and how many of its group run now, it among them."""
    job = store.claim(session, job_id, owner, 60.0)
    return job, groups.size(session, GROUP, Status.RUNNING)


@pytest.fixture
def race(db: Database) -> Race:
    for number in range(JOBS):
        group = {"concurrency_group": GROUP.name, "concurrency_limit": LIMIT}
        new_job(db, queue=QUEUES[number % 2], republish_after=None, key_id=f"k{number % 3}", **group)
    db.write(workers.register, "node:0", list(QUEUES), SLOTS)
    return Race(db)


def test_of_five_hundred_racing_jobs_never_more_than_the_limit_run_and_all_end(race: Race) -> None:
    # Messages for all of them at once, as no line would send them: the claim alone has to hold the limit.
    race.messages = [row.id for row in race.db.read(all_waiting)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(race.work, range(8)))
    assert race.most == LIMIT
    assert race.ended == JOBS


def all_waiting(session: Session) -> list[Job]:
    return list(session.scalars(select(Job).where(Job.status == Status.QUEUED)))
