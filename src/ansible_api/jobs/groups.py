"""SQL of concurrency groups: so many jobs of a name run at once, in whatever queue, exactly so under any race.

Whoever counts a group in order to act on the number holds the lock on its row.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.orm import Session, load_only

from ansible_api.jobs.fairness import Group
from ansible_api.jobs.model import ConcurrencyGroup, Job
from ansible_api.jobs.state import Status


def lock(session: Session, group: Group) -> None:
    """Be the only one who counts the group, until the transaction ends."""
    row = (ConcurrencyGroup.team == group.team, ConcurrencyGroup.name == group.name)
    locked = select(ConcurrencyGroup.name).where(*row).with_for_update()
    if session.scalar(locked) is None:
        made = insert(ConcurrencyGroup).values(team=group.team, name=group.name)
        session.execute(made.prefix_with("IGNORE", dialect="mysql").prefix_with("OR IGNORE", dialect="sqlite"))
        session.scalar(locked)


def size(session: Session, group: Group, *statuses: Status) -> int:
    """How many jobs of the group have one of these statuses."""
    return session.scalar(select(func.count()).select_from(Job).where(*_of(group), Job.status.in_(statuses))) or 0


def oldest(session: Session, group: Group, status: Status, limit: int | None = None) -> Sequence[str]:
    """Ids of the group's jobs that have the status, those that were made first before others."""
    return session.scalars(select(Job.id).where(*_of(group), Job.status == status).order_by(Job.id).limit(limit)).all()


def longest_running(session: Session, group: Group) -> Sequence[str]:
    """Ids of the group's jobs that run and that nobody has asked to stop, those that began first before others."""
    wanted = (*_of(group), Job.status == Status.RUNNING, Job.cancel_requested_at.is_(None))
    return session.scalars(select(Job.id).where(*wanted).order_by(Job.started_at, Job.id)).all()


def waiting(session: Session, group: Group, limit: int) -> Sequence[Job]:
    """The group's jobs that wait, with the columns that closing takes; those that were made first before others."""
    wanted = select(Job).options(load_only(Job.id, Job.attempt))
    return session.scalars(wanted.where(*_of(group), Job.status == Status.QUEUED).order_by(Job.id).limit(limit)).all()


def queues(session: Session, group: Group) -> Sequence[str]:
    """Queues in which jobs of the group wait."""
    return session.scalars(select(Job.queue).where(*_of(group), Job.status == Status.QUEUED).distinct()).all()


def _of(group: Group) -> tuple[ColumnElement[bool], ...]:
    return Job.team == group.team, Job.concurrency_group == group.name
