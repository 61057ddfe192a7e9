"""What holds a job that waits, and about how many go before it."""

from collections import Counter
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from ansible_api.db import now_plus
from ansible_api.jobs import groups, line
from ansible_api.jobs.fairness import Group
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Status
from ansible_api.jobs.workers import Slots, slots_of

MOST_COUNTED = 1000


Reason = Literal["retry_pause", "queue_paused", "group_full", "queue_full", "no_worker", "busy", "starting"]


class WhyWaiting(BaseModel):
    """What holds a job that waits."""

    model_config = ConfigDict(frozen=True)

    reason: Reason
    position: int = Field(
        description=f"about its place in its queue, 1 is next: API keys take turns; counted up to {MOST_COUNTED}"
    )
    message: str


def why_waiting(session: Session, job: Job, *, max_running: int | None = None) -> WhyWaiting | None:
    """What holds a queued job; None: it does not wait. Of its queue no more than `max_running` jobs may run at once."""
    if job.status != Status.QUEUED:
        return None
    position = _position(session, job)
    reason, message = _reason(session, job, position, max_running)
    return WhyWaiting(reason=reason, position=position, message=message)


def _reason(session: Session, job: Job, position: int, max_running: int | None) -> tuple[Reason, str]:
    if (due := _paused_until(session, job)) is not None:
        again = f"it is tried again at {due:%Y-%m-%dT%H:%M:%SZ}"
        return "retry_pause", f"{again}; what ended the attempt before: {job.last_error}"
    if line.is_paused(session, job.queue):
        return "queue_paused", f"the queue {job.queue} is paused: an admin can resume it"
    if (holders := _holders(session, job)) is not None:
        return "group_full", f"its concurrency group {job.concurrency_group} is full: {holders}"
    if max_running is not None and line.running(session, job.queue) >= max_running:
        return "queue_full", f"no more than {max_running} jobs of the queue {job.queue} run at once, and so many do"
    slots = slots_of(session, job.queue)
    if slots.workers == 0:
        return "no_worker", f"no worker serves the queue {job.queue}: start one"
    if slots.busy + position <= slots.all:
        return "starting", "a worker is about to take it"
    return "busy", _busy(job, slots, position)


def _busy(job: Job, slots: Slots, position: int) -> str:
    ahead = f"{slots.busy} jobs run on the {slots.all} slots that serve the queue {job.queue}"
    return f"{ahead}, and about {position - 1} go before this one; teams and their API keys take turns"


def _holders(session: Session, job: Job) -> str | None:
    """The jobs that fill its group; None: it has room, or there is none."""
    if job.concurrency_group is None or job.concurrency_limit is None:
        return None
    running = groups.oldest(session, Group(job.team, job.concurrency_group), Status.RUNNING, job.concurrency_limit)
    if len(running) < job.concurrency_limit:
        return None
    return (
        f"{', '.join(running[:3])}{' and others run' if len(running) > 3 else ' runs' if len(running) == 1 else ' run'}"
    )


def _paused_until(session: Session, job: Job) -> datetime | None:
    wanted = select(Job.next_attempt_at).where(Job.id == job.id, Job.next_attempt_at > now_plus())
    return session.scalar(wanted)


def _position(session: Session, job: Job) -> int:
    """Its place in its own line, and as many of each other line: lines take turns.

    No more than MOST_COUNTED are looked at: it must cost little when a queue is long, or when all of it pauses.
    """
    waiting = (Job.status == Status.QUEUED, Job.queue == job.queue)
    own = (Job.team == job.team, Job.key_id == job.key_id)
    before = or_(Job.turn_at < job.turn_at, and_(Job.turn_at == job.turn_at, Job.id < job.id))
    mine = 1
    for known in (Job.republish_at.is_(None), Job.republish_at.is_not(None)):  # each is a stretch of the index
        ahead = select(Job.next_attempt_at).where(*waiting, known, *own, before).limit(MOST_COUNTED).subquery()
        due = or_(ahead.c.next_attempt_at.is_(None), ahead.c.next_attempt_at <= now_plus())
        mine += session.scalar(select(func.count()).select_from(ahead).where(due)) or 0
    others = select(Job.team, Job.key_id).where(*waiting, ~and_(*own)).limit(MOST_COUNTED)
    lines = Counter((team, key_id) for team, key_id in session.execute(others))
    return min(MOST_COUNTED, mine + sum(min(number, mine - 1) for number in lines.values()))
