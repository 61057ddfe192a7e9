"""SQL of what the queues look like now: it counts what waits and runs, however many jobs there were before."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from ansible_api.db import now_plus
from ansible_api.jobs.model import Job, QueuePause, WorkerNode
from ansible_api.jobs.state import Status
from ansible_api.jobs.workers import SERVING
from ansible_api.routing import Queue
from ansible_api.settings import QueueLimits


@dataclass(slots=True)
class QueueFigures:
    """One queue at one moment."""

    queued: int = 0
    running: int = 0
    depth: int = 0  # what waits and may start now: nothing holds it back but the want of a free slot
    oldest: float = 0.0  # seconds for which the first of that has waited
    workers: int = 0  # those that were told to take no more do not count
    slots: int = 0
    busy: int = 0  # slots of these workers that run a job, of whatever queue


def of_queues(session: Session, limits: Mapping[str, QueueLimits]) -> dict[Queue, QueueFigures]:
    """The figures of every queue; those of jobs alone."""
    figures = {queue: QueueFigures() for queue in Queue}
    _count_waiting(session, figures)
    held = _count_running(session, figures)
    _hold_back(figures, limits)
    for worker in session.scalars(select(WorkerNode).where(*SERVING)):
        for name in worker.queues:
            if (queue := _queue(name)) is not None:
                figures[queue].workers += 1
                figures[queue].slots += worker.slots
                figures[queue].busy += min(held[worker.node], worker.slots)
    return figures


def age(now: datetime, since: datetime | None) -> float:
    """Seconds since a moment; 0 when there was none."""
    return 0.0 if since is None else max(0.0, (now - since) / timedelta(seconds=1))


def _count_waiting(session: Session, figures: Mapping[Queue, QueueFigures]) -> None:
    in_group = select(Job.team, Job.concurrency_group, func.count().label("number"))
    in_group = in_group.where(Job.status == Status.RUNNING, Job.concurrency_group.is_not(None))
    held = in_group.group_by(Job.team, Job.concurrency_group).subquery()
    same = and_(held.c.team == Job.team, held.c.concurrency_group == Job.concurrency_group)
    may_start = and_(
        or_(Job.next_attempt_at.is_(None), Job.next_attempt_at <= now_plus()),
        or_(held.c.number.is_(None), held.c.number < Job.concurrency_limit),
        Job.queue.not_in(select(QueuePause.queue)),
    )
    counts = (func.count(), func.sum(case((may_start, 1), else_=0)), func.min(case((may_start, Job.queued_at))))
    wanted = select(Job.queue, *counts, now_plus()).outerjoin(held, same).where(Job.status == Status.QUEUED)
    for name, queued, depth, first, now in session.execute(wanted.group_by(Job.queue)):
        if (queue := _queue(name)) is not None:
            found = figures[queue]
            found.queued, found.depth, found.oldest = int(queued), int(depth), age(now, first)


def _count_running(session: Session, figures: Mapping[Queue, QueueFigures]) -> Counter[str]:
    """How many jobs each worker runs."""
    held: Counter[str] = Counter()
    wanted = select(Job.queue, Job.lease_owner).where(Job.status == Status.RUNNING)
    for name, owner in session.execute(wanted):
        held[(owner or "").rpartition("/")[0]] += 1  # as `tasks.worker.lease_owner` writes it
        if (queue := _queue(name)) is not None:
            figures[queue].running += 1
    return held


def _hold_back(figures: Mapping[Queue, QueueFigures], limits: Mapping[str, QueueLimits]) -> None:
    """Of a queue that runs as many jobs as it may, none may start."""
    for queue, found in figures.items():
        most = limits[queue].max_running if queue in limits else None
        if most is not None and found.running >= most:
            found.depth, found.oldest = 0, 0.0


def _queue(name: str) -> Queue | None:
    """None: a queue of another version of this service."""
    return Queue(name) if name in set(Queue) else None
