"""SQL of upkeep: what a lost message or a vanished worker left behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, not_, select
from sqlalchemy.orm import Session, load_only

from ansible_api.db import now_plus
from ansible_api.jobs import store
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Status

MAX_REPUBLISH_DOUBLINGS = 6


@dataclass(frozen=True, slots=True)
class DeadAttempt:
    """An attempt whose process has died, by the owner that it had, or by its number."""

    job_id: str
    owner: str | None = None
    attempt: int | None = None

    def is_of(self, job: Job) -> bool:
        """Whether the job is still in this attempt."""
        theirs = job.lease_owner == self.owner if self.owner else job.attempt == self.attempt
        return job.status == Status.RUNNING and theirs


def expired(session: Session, limit: int = 100) -> Sequence[Job]:
    """Running jobs whose lease has ended."""
    return session.scalars(
        select(Job).where(Job.status == Status.RUNNING, Job.lease_until < now_plus()).limit(limit)
    ).all()


def end_expired(session: Session, job: Job, *, max_attempts: int, pause: float = 0) -> Status | None:
    """What becomes of a job whose worker vanished; None: it was not so any more.

    Before the play it waits again, a bounded number of times and after a pause; after its start nobody knows what it
    did: lost, unless its caller said that it may be played again.
    """
    same = (Job.attempt == job.attempt, Job.lease_until < now_plus())
    played = job.play_started_at is not None
    last = job.failures + 1 >= max_attempts
    message = f"the worker vanished {'while the play ran' if played else 'before the play began'}"
    if played and (last or job.spec["options"].get("on_worker_loss") != "rerun"):
        return _give_up(session, job, Status.LOST, message, same)
    if not played and last and job.cancel_requested_at is None:
        return _give_up(session, job, Status.ERROR, f"{message}, {max_attempts} times", same)
    return store.requeue(session, job.id, store.Return("worker_lost", message, pause, played=played), *same)


def _give_up(session: Session, job: Job, status: Status, message: str, guards: tuple[Any, ...]) -> Status | None:
    ended = store.transition(
        session, job.id, Status.RUNNING, status, *guards, error_code="worker_lost", error_message=message
    )
    return status if ended else None


def expire_lease_of(session: Session, dead: DeadAttempt) -> Job | None:
    """End the lease of an attempt now, when the process that held it is known to be dead; None: it has ended."""
    theirs = Job.lease_owner == dead.owner if dead.owner else Job.attempt == dead.attempt
    guards = (Job.id == dead.job_id, Job.status == Status.RUNNING, theirs)
    return store.get(session, dead.job_id) if store.change(session, *guards, lease_until=now_plus(-1)) else None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one queue: all jobs, the retries among them, and how many messages upkeep has sent for them.

    A retry has no message until its pause is over and upkeep sends one; every other job had one from the start.
    """

    jobs: int
    retries: int
    republished: int

    def to_repeat(self, depth: int) -> int:
        """How many messages to send again when `depth` of them are in the broker.

        Nobody knows whose are lost, so every round that still misses some sends about twice as many as the one before,
        until there are two for each job.
        """
        repeated = self.republished - self.retries
        missing = self.jobs + repeated - depth
        return max(min(missing + max(repeated, 0), 2 * self.jobs - depth), 0) if missing > 0 else 0


def backlogs(session: Session) -> dict[str, Backlog]:
    """What waits, by queue."""
    counts = (func.count(), func.count(Job.next_attempt_at), func.sum(Job.republish_count))
    rows = session.execute(select(Job.queue, *counts).where(Job.status == Status.QUEUED).group_by(Job.queue))
    return {queue: Backlog(jobs, retries, int(republished)) for queue, jobs, retries, republished in rows}


def unpublished(session: Session, queue: str, *, retries: int, repeat: int, limit: int = 500) -> Sequence[Job]:
    """Jobs to publish, the most urgent first, with the columns that this takes and no others.

    First up to `retries` whose pause is over, as they have no message; then `repeat` of those that nobody has claimed
    for too long, as their message may be lost.
    """
    columns = load_only(Job.id, Job.attempt, Job.queue, Job.priority, Job.republish_count)
    waiting = (Job.status == Status.QUEUED, Job.queue == queue, Job.republish_at <= now_plus())
    due = select(Job).options(columns).where(*waiting)
    due = due.order_by(Job.priority.desc(), Job.republish_count, Job.republish_at)
    paused = Job.next_attempt_at.is_not(None) & (Job.republish_count == 0)
    first = session.scalars(due.where(paused).limit(min(retries, limit))).all()
    return [*first, *session.scalars(due.where(not_(paused)).limit(min(repeat, limit))).all()]


def mark_republished(session: Session, job: Job, first_pause: float) -> bool:
    """Take the right to publish a waiting job again; pauses double. False: another upkeep was first."""
    pause = first_pause * 2 ** min(job.republish_count + 1, MAX_REPUBLISH_DOUBLINGS)
    guards = (Job.id == job.id, Job.status == Status.QUEUED, Job.republish_count == job.republish_count)
    return store.change(session, *guards, republish_at=now_plus(pause), republish_count=Job.republish_count + 1) == 1
