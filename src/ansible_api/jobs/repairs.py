"""SQL of upkeep: what a lost message or a vanished worker left behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from ansible_api.db import now_plus
from ansible_api.jobs import store
from ansible_api.jobs.line import published
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


def unclaimed(session: Session) -> Sequence[str]:
    """The queues of jobs that were published, and that nobody has claimed for too long."""
    waiting = (Job.status == Status.QUEUED, Job.republish_at <= now_plus())
    return session.scalars(select(Job.queue).where(*waiting).distinct()).all()


def unpublished(session: Session, queue: str, *, messages: int, limit: int = 500) -> Sequence[Job]:
    """Jobs of a queue whose message may be lost: those that nobody has claimed for too long, if the broker holds fewer
    `messages` than jobs were published; the most urgent first, with the columns that publishing takes.
    """
    if messages >= published(session, queue):
        return []
    columns = load_only(Job.id, Job.attempt, Job.queue, Job.priority, Job.republish_count)
    waiting = (Job.status == Status.QUEUED, Job.queue == queue, Job.republish_at <= now_plus())
    lost = select(Job).options(columns).where(*waiting)
    return session.scalars(lost.order_by(Job.priority.desc(), Job.republish_at).limit(limit)).all()


def mark_republished(session: Session, job: Job, first_pause: float) -> bool:
    """Take the right to publish a waiting job again; pauses double. False: another upkeep was first."""
    pause = first_pause * 2 ** min(job.republish_count + 1, MAX_REPUBLISH_DOUBLINGS)
    still = (Job.status == Status.QUEUED, Job.republish_at <= now_plus(), Job.republish_count == job.republish_count)
    values = {"republish_at": now_plus(pause), "republish_count": Job.republish_count + 1}
    return store.change(session, Job.id == job.id, *still, **values) == 1
