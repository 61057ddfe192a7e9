"""SQL of retention: ended jobs that have had their time, taken in small batches by one worker at a time.

A log expires first: `log_status` says so, and then its objects go. A job goes when its log has gone and its own time is
over. As long as objects may be there, `log_expires_at` of an expired log says when somebody is to look for them again:
whoever began may have died. So no row goes before its objects.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, delete, exists, select, tuple_
from sqlalchemy.orm import Session

from ansible_api.db import first_id, now_plus, rows_changed
from ansible_api.jobs import groups
from ansible_api.jobs.fairness import Group
from ansible_api.jobs.model import ConcurrencyGroup, IdempotencyKey, Job, JobHost, JobObject, LineTurn, Repository
from ansible_api.jobs.repositories import FORGOTTEN_AFTER
from ansible_api.jobs.state import LogStatus
from ansible_api.jobs.store import HOSTS_AT_ONCE, change

DAY = 86_400.0
HOLD = 600.0  # seconds that one worker has for what it took
CLOSED = (LogStatus.STORED, LogStatus.PARTIAL, LogStatus.FAILED)


def take(session: Session, *, logs_days: float, jobs_days: float, limit: int, turn: int = 0) -> Sequence[str]:
    """Ended jobs whose log, or whose own time is over: for HOLD seconds nobody else gets them.

    From now on their logs have expired, for readers as for late uploads. Another `turn` begins with another kind, so
    that very many of one hold up no other.
    """
    default = Job.log_expires_at.is_(None)
    due = (
        and_(Job.log_status.in_(CLOSED), default, Job.closed_at < _ago(logs_days)),
        and_(
            Job.log_status.in_((*CLOSED, LogStatus.EXPIRED)),
            Job.log_expires_at <= now_plus(),
            Job.closed_at.is_not(None),
        ),
        and_(Job.log_status == LogStatus.EXPIRED, default, Job.closed_at < _ago(jobs_days)),
    )
    taken, first = list[str](), turn % len(due)
    for one in (*due[first:], *due[:first]):
        if len(taken) < limit:
            free = select(Job.id).where(one).limit(limit - len(taken)).with_for_update(skip_locked=True)
            taken += session.scalars(free).all()
    if taken:
        change(session, Job.id.in_(taken), log_status=LogStatus.EXPIRED, log_expires_at=now_plus(HOLD))
    return taken


def emptied(session: Session, job_ids: Collection[str], *, jobs_days: float) -> Sequence[str]:
    """Note that nothing is left of these jobs in the object store; returns those whose own time is over, too."""
    session.execute(delete(JobObject).where(JobObject.job_id.in_(job_ids)))
    old = session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.closed_at < _ago(jobs_days))).all()
    change(session, Job.id.in_(set(job_ids) - set(old)), Job.log_status == LogStatus.EXPIRED, log_expires_at=None)
    return old


def postpone(session: Session, job_ids: Collection[str]) -> None:
    """Look at these again tomorrow: something is still to be done for them."""
    change(session, Job.id.in_(job_ids), Job.log_status == LogStatus.EXPIRED, log_expires_at=now_plus(DAY))


def remove(session: Session, job_id: str) -> bool:
    """Delete a job and all rows about it; False: it has so many hosts that this takes another transaction."""
    hosts = session.scalars(select(JobHost.host).where(JobHost.job_id == job_id).limit(HOSTS_AT_ONCE)).all()
    if hosts:
        session.execute(delete(JobHost).where(JobHost.job_id == job_id, JobHost.host.in_(hosts)))
    if len(hosts) == HOSTS_AT_ONCE:
        return False
    named = select(Job.team, Job.concurrency_group).where(Job.id == job_id, Job.concurrency_group.is_not(None))
    row = session.execute(named).one_or_none()
    group = None if row is None else Group(row.team, row.concurrency_group)
    if group is not None:
        groups.lock(session, group)  # else each of two who remove its last jobs would take the other's for the last
    session.execute(delete(Job).where(Job.id == job_id, Job.log_status == LogStatus.EXPIRED))
    if group is not None:
        _forget_if_empty(session, group)
    return True


def _forget_if_empty(session: Session, group: Group) -> None:
    """Its name is the callers', perhaps one for every build: its row goes with the last job."""
    has_job = exists().where(Job.team == group.team, Job.concurrency_group == group.name)
    ours = (ConcurrencyGroup.team == group.team, ConcurrencyGroup.name == group.name)
    session.execute(delete(ConcurrencyGroup).where(*ours, ~has_job))


def forget_keys(session: Session, *, days: float, limit: int) -> int:
    """Forget Idempotency-Keys that are older; returns how many, at most `limit`."""
    made_before = first_id("job", datetime.now(UTC) - timedelta(days=days))
    old = select(IdempotencyKey.job_id).where(IdempotencyKey.job_id < made_before)
    ids = session.scalars(old.order_by(IdempotencyKey.job_id).limit(limit)).all()
    return rows_changed(session, delete(IdempotencyKey).where(IdempotencyKey.job_id.in_(ids))) if ids else 0


def forget_repositories(session: Session, *, limit: int) -> int:
    """Forget slow repositories that nobody has measured for so long; returns how many, at most `limit`."""
    old = Repository.measured_at < now_plus(-FORGOTTEN_AFTER)
    digests = session.scalars(select(Repository.sha256).where(old).limit(limit)).all()
    return rows_changed(session, delete(Repository).where(old, Repository.sha256.in_(digests))) if digests else 0


def forget_turns(session: Session, *, limit: int) -> int:
    """Forget when lines were served that nobody has stood in since yesterday; returns how many, at most `limit`."""
    old = LineTurn.served_at < _ago(1)
    rows = session.execute(select(LineTurn.queue, LineTurn.team, LineTurn.key_id).where(old).limit(limit)).all()
    these = tuple_(LineTurn.queue, LineTurn.team, LineTurn.key_id).in_([tuple(row) for row in rows])
    return rows_changed(session, delete(LineTurn).where(old, these)) if rows else 0


def _ago(days: float) -> now_plus:
    return now_plus(-days * DAY)
