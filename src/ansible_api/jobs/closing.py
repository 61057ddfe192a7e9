"""SQL of closing: recording what was stored of an ended job's log, again and again until it is whole."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ansible_api.db import now_plus
from ansible_api.jobs.model import Job, JobObject
from ansible_api.jobs.state import TERMINAL, LogStatus
from ansible_api.jobs.store import CLOSE_AFTER, change

CLOSE_PAUSE_CAP = 3600.0
MAX_DOUBLINGS = 8  # beyond which pauses are capped anyway
CLOSE_TRIES = 32  # which take a day


def unclosed(session: Session, limit: int = 100) -> Sequence[Job]:
    """Ended jobs whose closing is due again: nobody has done it, or it failed."""
    due = func.coalesce(Job.republish_at, Job.finished_at) <= now_plus()
    wanted = select(Job).where(Job.closed_at.is_(None), Job.finished_at.is_not(None), Job.status.in_(TERMINAL), due)
    return session.scalars(wanted.order_by(Job.finished_at).limit(limit)).all()


def mark_closing(session: Session, job: Job) -> bool:
    """Take the right to send an ended job's closing again; pauses double. False: another upkeep was first."""
    pause = min(CLOSE_AFTER * 2 ** min(job.republish_count + 1, MAX_DOUBLINGS), CLOSE_PAUSE_CAP)
    guards = (Job.id == job.id, Job.closed_at.is_(None), Job.republish_count == job.republish_count)
    values = {"republish_at": now_plus(pause), "republish_count": Job.republish_count + 1}
    return change(session, *guards, Job.status.in_(TERMINAL), **values) == 1


def close(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    log_status: LogStatus,
    events: int | None,
    products: Sequence[JobObject],
) -> bool:
    """Record what was stored of an ended job's log; False: that was done before, or another count of events is known.

    A log that could not be stored leaves the job unclosed, for as long as that is tried again. A whole one takes the
    place of less, however late it comes: nothing of it was deleted, unless it has expired.
    """
    known = Job.events.is_not_distinct_from(events)
    settled = (LogStatus.STORED, LogStatus.EXPIRED)
    improvable = Job.log_status.not_in(settled) if log_status is LogStatus.STORED else Job.closed_at.is_(None)
    guards = (Job.id == job_id, Job.attempt == attempt, Job.status.in_(TERMINAL), improvable, known)
    if change(session, *guards, log_status=log_status) == 0:
        return False
    final = () if log_status is not LogStatus.FAILED else (Job.republish_count >= CLOSE_TRIES,)
    retain_days = session.execute(select(Job.spec).where(Job.id == job_id)).scalar_one()["options"].get("retain_days")
    expires_at = None if retain_days is None else now_plus(retain_days * 86_400.0)
    change(session, Job.id == job_id, *final, closed_at=now_plus(), republish_at=None, log_expires_at=expires_at)
    for product in products:
        session.merge(product)
    return True


def count_once(session: Session, job_id: str) -> bool:
    """Take the right to count an ended job in metrics; False: it was counted, and is closed once more."""
    return change(session, Job.id == job_id, Job.counted_at.is_(None), counted_at=now_plus()) == 1


def rescued(session: Session, job_id: str, attempt: int, *, events: int | None, stored: int) -> bool:
    """Note that `stored` bytes of an attempt's events are in the object store, and how many the play had if that is
    known; a count never falls. True: its log was closed with less, and shall be closed again."""
    this = (Job.id == job_id, Job.attempt == attempt)
    counted = events is not None and change(session, *this, func.coalesce(Job.events, -1) < events, events=events) == 1
    wanted = select(JobObject.size).join(Job, Job.id == JobObject.job_id).where(*this, JobObject.attempt == attempt)
    partial = wanted.where(JobObject.kind == "events", Job.log_status == LogStatus.PARTIAL)
    if not counted and (session.scalar(partial) or 0) >= stored:
        return False
    closed = (Job.closed_at.is_not(None), Job.log_status.not_in((LogStatus.STORED, LogStatus.EXPIRED)))
    again = {"closed_at": None, "log_status": LogStatus.PENDING, "republish_at": now_plus(), "republish_count": 0}
    if change(session, *this, *closed, **again) == 0:
        return False
    session.execute(delete(JobObject).where(JobObject.job_id == job_id, JobObject.attempt == attempt))
    return True
