"""SQL of the workers that are there, and of what a waiting job waits for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from ansible_api.db import now_plus, rows_changed
from ansible_api.jobs.model import Job, WorkerNode
from ansible_api.jobs.state import Status

SILENT_AFTER = 30.0  # seconds without a word, then a worker counts as gone
FORGOTTEN_AFTER = 3600.0
MOST_COUNTED = 1000


class WhyWaiting(BaseModel):
    """What holds a job that waits."""

    model_config = ConfigDict(frozen=True)

    reason: Literal["retry_pause", "no_worker", "busy", "starting"]
    position: int = Field(description=f"place in its queue, 1 is next; counted up to {MOST_COUNTED}")
    message: str


def register(session: Session, node: str, queues: Sequence[str], slots: int) -> None:
    """Say that a worker is there."""
    known = update(WorkerNode).where(WorkerNode.node == node)
    if rows_changed(session, known, {"seen_at": now_plus()}) == 0:
        row = WorkerNode(node=node, queues=list(queues), slots=slots, started_at=now_plus(), seen_at=now_plus())
        session.add(row)
        session.execute(delete(WorkerNode).where(WorkerNode.seen_at < now_plus(-FORGOTTEN_AFTER)))


def forget(session: Session, node: str) -> None:
    """A worker has gone."""
    session.execute(delete(WorkerNode).where(WorkerNode.node == node))


def serving(session: Session, queue: str) -> list[WorkerNode]:
    """The workers that are there and serve a queue."""
    rows = session.scalars(select(WorkerNode).where(WorkerNode.seen_at > now_plus(-SILENT_AFTER)))
    return [row for row in rows if queue in row.queues]


def why_waiting(session: Session, job: Job) -> WhyWaiting | None:
    """What holds a queued job; None: it does not wait."""
    if job.status != Status.QUEUED:
        return None
    position = _ahead(session, job) + 1
    if (due := _paused_until(session, job)) is not None:
        return WhyWaiting(
            reason="retry_pause",
            position=position,
            message=f"it is tried again at {due:%Y-%m-%dT%H:%M:%SZ}; what ended the attempt before: {job.last_error}",
        )
    there = serving(session, job.queue)
    if not there:
        return WhyWaiting(
            reason="no_worker", position=position, message=f"no worker serves the queue {job.queue}: start one"
        )
    slots, busy = sum(worker.slots for worker in there), _held(session, [worker.node for worker in there])
    if busy + position <= slots:
        return WhyWaiting(reason="starting", position=position, message="a worker is about to take it")
    message = f"{busy} jobs run on the {slots} slots that serve the queue {job.queue}, and {position - 1} wait before"
    return WhyWaiting(reason="busy", position=position, message=f"{message} this one")


def _held(session: Session, nodes: Sequence[str]) -> int:
    """How many jobs these workers run, of whatever queue."""
    node = func.substr(Job.lease_owner, 1, func.instr(Job.lease_owner, "/") - 1)  # as `tasks.worker.lease_owner`
    held = select(func.count()).select_from(Job).where(Job.status == Status.RUNNING, node.in_(nodes))
    return session.scalar(held) or 0


def _paused_until(session: Session, job: Job) -> datetime | None:
    wanted = select(Job.next_attempt_at).where(Job.id == job.id, Job.next_attempt_at > now_plus())
    return session.scalar(wanted)


def _ahead(session: Session, job: Job) -> int:
    """Jobs of the same queue that are more urgent, or as urgent and older, and not in the pause before a retry.

    No more than MOST_COUNTED are looked at, pausing or not: it must cost little when all of a long queue pauses.
    """
    older = and_(Job.priority == job.priority, Job.queued_at < job.queued_at)
    before = or_(Job.priority > job.priority, older)
    ahead = select(Job.next_attempt_at).where(Job.status == Status.QUEUED, Job.queue == job.queue, before)
    seen = ahead.limit(MOST_COUNTED - 1).subquery()
    due = or_(seen.c.next_attempt_at.is_(None), seen.c.next_attempt_at <= now_plus())
    return session.scalar(select(func.count()).select_from(seen).where(due)) or 0
