"""SQL of queues as operators see them: what waits and runs, who serves, and pausing."""

from contextlib import suppress
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ansible_api.db import now_plus
from ansible_api.jobs import line
from ansible_api.jobs.model import Job, QueuePause, WorkerNode
from ansible_api.jobs.state import Status
from ansible_api.jobs.workers import serving, slots_of
from ansible_api.routing import JOB_QUEUES, Queue


class WorkerView(BaseModel):
    """A worker that is there."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    node: str
    slots: int = Field(description="jobs that it can run at once, of all its queues")
    started_at: datetime
    seen_at: datetime
    drain_at: datetime | None = Field(description="when it was told to take no more jobs")


class QueueView(BaseModel):
    """A queue now; jobs of all teams count."""

    model_config = ConfigDict(frozen=True)

    name: Queue
    depth: int = Field(description="jobs that wait, also behind a pause, a full group or a limit")
    delayed: int = Field(description="jobs that wait for their next attempt")
    running: int
    oldest_seconds: float | None = Field(description="how long the oldest of `depth` has waited")
    slots: int = Field(description="jobs that its workers can run at once, of all their queues")
    busy: int = Field(description="of these slots")
    paused_at: datetime | None
    workers: list[WorkerView]


class QueueList(BaseModel):
    items: list[QueueView]


def overview(session: Session) -> QueueList:
    """All queues of jobs."""
    return QueueList(items=[view(session, queue) for queue in JOB_QUEUES])


def view(session: Session, queue: Queue) -> QueueView:
    waiting = (Job.status == Status.QUEUED, Job.queue == queue)
    due = or_(Job.next_attempt_at.is_(None), Job.next_attempt_at <= now_plus())
    depth, oldest, now = session.execute(
        select(func.count(), func.min(Job.queued_at), now_plus()).where(*waiting, due)
    ).one()
    slots, pause = slots_of(session, queue), session.get(QueuePause, queue)
    return QueueView(
        name=queue,
        depth=depth,
        delayed=_count(session, *waiting, Job.next_attempt_at > now_plus()),
        running=line.running(session, queue),
        oldest_seconds=(now - oldest).total_seconds() if oldest else None,
        slots=slots.all,
        busy=slots.busy,
        paused_at=pause and pause.paused_at,
        workers=[WorkerView.model_validate(row) for row in _workers(session, queue)],
    )


def pause(session: Session, queue: Queue, key_id: str | None) -> None:
    """Let no job of a queue begin; those that run go on. Pausing twice is pausing once."""
    if session.get(QueuePause, queue) is None:
        with suppress(IntegrityError), session.begin_nested():  # another operator has paused it at the same moment
            session.add(QueuePause(queue=queue, paused_at=now_plus(), paused_by=key_id))


def resume(session: Session, queue: Queue) -> None:
    if (row := session.get(QueuePause, queue)) is not None:
        session.delete(row)


def _workers(session: Session, queue: Queue) -> list[WorkerNode]:
    return sorted(serving(session, queue), key=lambda row: row.started_at)


def _count(session: Session, *wanted: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Job).where(*wanted)) or 0
