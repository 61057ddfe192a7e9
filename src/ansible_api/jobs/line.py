"""SQL of the line in which jobs wait: the rows are the line, the broker holds its head and nothing more.

A place in line is `turn_at`: when the job was queued, minus so much for each step of its priority. So what is urgent
goes first, and what waits long enough overtakes even that: within a line no job starves. `fairness` says which line is
next.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, and_, false, func, insert, or_, select, update
from sqlalchemy.orm import Session

from ansible_api.db import now_plus, read_of_one_moment, rows_changed
from ansible_api.jobs import store
from ansible_api.jobs.fairness import NEVER, Group, Line, Shares, Waiting, choose, foremost
from ansible_api.jobs.model import Job, LineTurn, QueuePause
from ansible_api.jobs.state import Status
from ansible_api.jobs.workers import slots_of
from ansible_api.settings import QueueLimits, Settings

_QUEUED = Job.status == Status.QUEUED
_IN_LINE = (_QUEUED, Job.republish_at.is_(None))
_PUBLISHED = (_QUEUED, Job.republish_at.is_not(None))
_DUE = or_(Job.next_attempt_at.is_(None), Job.next_attempt_at <= now_plus())


@dataclass(frozen=True, slots=True)
class Rules:
    """How a queue is served."""

    republish_after: float  # seconds after which the message of a job that nobody has claimed counts as lost
    weights: Mapping[str, float] = field(default_factory=dict)  # of teams
    max_running: int | None = None  # jobs of the queue at once

    @classmethod
    def of(cls, settings: Settings, queue: str) -> Self:
        limits = settings.queue_limits.get(queue, QueueLimits())
        return cls(settings.republish_after, settings.team_weights, limits.max_running)


def goes_ahead(session: Session, queue: str) -> bool:
    """Whether a new job may be published without a look at the line: nobody waits, a slot is free, no pause."""
    nobody = session.scalar(select(Job.id).where(_QUEUED, Job.queue == queue).limit(1)) is None
    return nobody and not is_paused(session, queue) and _free(session, queue) > 0


def is_paused(session: Session, queue: str) -> bool:
    return session.get(QueuePause, queue) is not None


def room(session: Session, queue: str, rules: Rules) -> int:
    """How many more jobs of a queue the broker should know of; 0 also when none stands in line."""
    if session.scalar(select(Job.id).where(*_IN_LINE, Job.queue == queue).limit(1)) is None or is_paused(
        session, queue
    ):
        return 0
    known = published(session, queue)  # before what runs: one that begins meanwhile counts twice, not never
    free = _free(session, queue)
    if rules.max_running is not None:
        free = min(free, rules.max_running - running(session, queue))
    return max(0, free - known)


def _free(session: Session, queue: str) -> int:
    """Slots in which jobs of a queue may begin; one when no worker is known, for one that nobody has heard of yet."""
    slots = slots_of(session, queue)
    return slots.all - slots.busy if slots.workers else 1


def published(session: Session, queue: str) -> int:
    """How many waiting jobs of a queue the broker was told of."""
    return _count(session, *_PUBLISHED, Job.queue == queue)


def running(session: Session, queue: str) -> int:
    """How many jobs of a queue run."""
    return _count(session, Job.status == Status.RUNNING, Job.queue == queue)


def choose_next(session: Session, queue: str, rules: Rules) -> list[Waiting]:
    """The jobs of a queue that are next, as many as there is room for; what `Database.read` begins with."""
    read_of_one_moment(session)  # otherwise what another tells the broker meanwhile takes no room and is not next
    wanted = room(session, queue, rules)
    if not wanted:
        return []
    shares = Shares(_held(session, queue), _served(session, queue), rules.weights)
    in_group, lines = _groups(session, queue), _lines(session, queue)
    chosen: list[Waiting] = []
    while lines and len(chosen) < wanted:
        left = wanted - len(chosen)
        fronts = {line: _front(session, queue, line, in_group, chosen, left) for line in foremost(lines, left, shares)}
        found = choose(fronts, left, shares, in_group)
        chosen += found
        # A group that is full now lets those behind it pass, who were not among the first of their line before.
        in_group.update(job.group for job in found if job.group is not None)
        for line in [line for line, jobs in fronts.items() if not jobs]:
            del lines[line]
    return chosen


def publish(session: Session, queue: str, jobs: Sequence[Waiting], rules: Rules) -> list[Waiting]:
    """Note that the broker is told of these jobs of a queue; those of them that still stood in line."""
    told = [job for job in jobs if _publish(session, job.id, rules.republish_after)]
    for line in sorted({job.line for job in told}):
        _serve(session, queue, line)
    return told


def _serve(session: Session, queue: str, line: Line) -> None:
    """Note that a line was served now."""
    values = {"queue": queue, "team": line.team, "key_id": line.key_id}
    known = update(LineTurn).filter_by(**values)
    if rows_changed(session, known, {"served_at": now_plus()}) == 0:
        made = insert(LineTurn).values(served_at=now_plus(), **values)  # twice, when two are the first
        session.execute(made.prefix_with("IGNORE", dialect="mysql").prefix_with("OR IGNORE", dialect="sqlite"))


def _served(session: Session, queue: str) -> dict[Line, datetime]:
    """When each line was last served."""
    turns = session.scalars(select(LineTurn).where(LineTurn.queue == queue))
    return {Line(turn.team, turn.key_id): turn.served_at for turn in turns}


def put_back(session: Session, job_id: str) -> bool:
    """A job that could not begin stands in line again, in its old place."""
    return store.change(session, Job.id == job_id, *_PUBLISHED, republish_at=None, republish_count=0) == 1


def _count(session: Session, *wanted: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Job).where(*wanted)) or 0


def _publish(session: Session, job_id: str, republish_after: float) -> bool:
    values = {"republish_at": now_plus(republish_after), "republish_count": 0}
    return store.change(session, Job.id == job_id, *_IN_LINE, **values) == 1


def _lines(session: Session, queue: str) -> dict[Line, datetime]:
    """The lines of a queue, with the turn of the first in each."""
    columns = (
        Job.status,
        Job.queue,
        Job.republish_at,
        Job.team,
        Job.key_id,
    )  # as the index begins, which is skipped through
    wanted = select(Job.team, Job.key_id, func.min(Job.turn_at)).where(*_IN_LINE, Job.queue == queue).group_by(*columns)
    return {Line(team, key_id): first or NEVER for team, key_id, first in session.execute(wanted)}


_COLUMNS = (
    Job.id,
    Job.attempt,
    Job.priority,
    Job.turn_at,
    Job.created_at,
    Job.concurrency_group,
    Job.concurrency_limit,
)


def _front(
    session: Session, queue: str, line: Line, in_group: Mapping[Group, int], chosen: Sequence[Waiting], limit: int
) -> list[Waiting]:
    """The first jobs of a line that may begin and are not chosen."""
    full = [_is_full(group, number) for group, number in in_group.items() if group.team == line.team]
    wanted = select(*_COLUMNS).where(*_IN_LINE, Job.queue == queue, Job.team == line.team, Job.key_id == line.key_id)
    wanted = wanted.where(_DUE, or_(Job.concurrency_group.is_(None), ~or_(false(), *full)))
    wanted = wanted.where(Job.id.not_in([job.id for job in chosen if job.line == line]))
    return [_waiting(row, line) for row in session.execute(wanted.order_by(Job.turn_at, Job.id).limit(limit))]


def _is_full(group: Group, number: int) -> ColumnElement[bool]:
    return and_(Job.concurrency_group == group.name, Job.concurrency_limit <= number)


def _waiting(row: Any, line: Line) -> Waiting:
    group = Group(line.team, row.concurrency_group) if row.concurrency_group is not None else None
    # Without a turn: written by the version before this one.
    turn_at = row.turn_at or row.created_at
    return Waiting(row.id, row.attempt, row.priority, line, turn_at, group, row.concurrency_limit or 0)


def _held(session: Session, queue: str) -> Counter[Line]:
    """How many jobs of each line are about to run, or do."""
    found: Counter[Line] = Counter()
    for standing in (_PUBLISHED, (Job.status == Status.RUNNING,)):
        wanted = select(Job.team, Job.key_id, func.count()).where(*standing, Job.queue == queue)
        for team, key_id, number in session.execute(wanted.group_by(Job.team, Job.key_id)):
            found[Line(team, key_id)] += number
    return found


def _groups(session: Session, queue: str) -> Counter[Group]:
    """How many jobs of each concurrency group are about to run in this queue, or run in whatever queue.

    What other queues were told of does not count: nobody may serve them. Who begins first is decided by the claims.
    """
    found: Counter[Group] = Counter()
    for standing in ((*_PUBLISHED, Job.queue == queue), (Job.status == Status.RUNNING,)):
        wanted = select(Job.team, Job.concurrency_group, func.count()).where(
            *standing, Job.concurrency_group.is_not(None)
        )
        for team, name, number in session.execute(wanted.group_by(Job.team, Job.concurrency_group)):
            found[Group(team, name or "")] += number
    return found
