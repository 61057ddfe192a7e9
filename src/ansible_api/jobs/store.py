"""SQL of jobs. `transition` is the only place that writes a status; every write of a worker is fenced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Float, bindparam, case, delete, func, insert, select, update
from sqlalchemy.orm import Session, defer

from ansible_api.credentials.store import wipe_of_job
from ansible_api.db import now_plus, rows_changed
from ansible_api.errors import LeaseLost, NotFound
from ansible_api.jobs import attempts
from ansible_api.jobs.model import IdempotencyKey, Job, JobHost, JobLabel, JobObject
from ansible_api.jobs.state import TERMINAL, LogStatus, Phase, Status, may_move

MAX_REPUBLISH_DOUBLINGS = 6
CLOSE_AFTER = 15.0  # seconds that the closing of an ended job may take before it is sent again
CLOSE_PAUSE_CAP = 3600.0
CLOSE_TRIES = 32  # which take a day
LONGEST_HOST = 255  # a play can call a host what it likes
HOSTS_AT_ONCE = 1000  # databases limit the parameters of a statement


@dataclass(frozen=True, slots=True)
class Fence:
    """Which attempt of a job somebody works on: writes of any other attempt change nothing."""

    job_id: str
    attempt: int
    owner: str

    def holds(self) -> tuple[ColumnElement[bool], ...]:
        return Job.id == self.job_id, Job.attempt == self.attempt, Job.lease_owner == self.owner


def transition(
    session: Session,
    job_id: str,
    source: Status,
    target: Status,
    *guards: Any,
    afterwards: Mapping[str, Any] | None = None,
    **values: Any,
) -> bool:
    """Move a job from one status to another in one guarded UPDATE; False: it was not there to be moved.

    What leaves `running` ends its attempt, whose row says how far the job had come; the columns of `afterwards`, which
    speak of the job alone, change then.
    """
    if not may_move(source, target):
        raise AssertionError(f"illegal move: {source} to {target}")
    if target.terminal:
        # Its closing is sent at once, and again by upkeep when it is not done by then.
        closing = {"republish_at": now_plus(CLOSE_AFTER), "republish_count": 0}
        values |= {"finished_at": now_plus(), "lease_until": None, "next_attempt_at": None} | closing
    if source is Status.RUNNING:  # what has not begun to play has reported nothing
        values = {"events": case((Job.play_started_at.is_(None), 0), else_=Job.events)} | values
    moved = _update(session, Job.id == job_id, Job.status == source, *guards, status=target, **values) == 1
    if moved and source is Status.RUNNING:
        attempts.end(session, job_id, target)
    if moved and afterwards:
        _update(session, Job.id == job_id, **afterwards)
    if moved and target.terminal:
        wipe_of_job(session, job_id)
    return moved


def _update(session: Session, *guards: Any, **values: Any) -> int:
    return rows_changed(session, update(Job).where(*guards), values)


@dataclass(frozen=True, slots=True)
class DeadAttempt:
    """An attempt whose process has died, by the owner that it had, or by its number."""

    job_id: str
    owner: str | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands, for those who wait: cheap to read again and again."""

    status: Status
    attempt: int
    playing: bool


# Submission


# One round trip: the row goes in, the database's times come back. The unit of work would take two, and twice the time.
_OWN_VALUES = ("id", "team", "key_id", "spec", "queue", "priority", "route_reason", "trace_parent", "relaunch_of")
_INSERT = (
    insert(Job)
    .values(
        {name: bindparam(name) for name in _OWN_VALUES}
        | {
            "created_at": now_plus(),
            "queued_at": now_plus(),
            "republish_at": now_plus(bindparam("republish_after", type_=Float)),
        }
    )
    .returning(Job)
)


def insert_job(session: Session, *, republish_after: float, **values: Any) -> Job:
    """Write a new job, which waits; `values` are those of _OWN_VALUES."""
    return session.scalars(_INSERT, values | {"republish_after": republish_after}).one()


def add_labels(session: Session, job: Job, labels: Mapping[str, str]) -> None:
    rows = [{"team": job.team, "job_id": job.id, "name": name, "value": value} for name, value in labels.items()]
    if rows:
        session.execute(insert(JobLabel), rows)


def by_idempotency_key(session: Session, team: str, key: str) -> IdempotencyKey | None:
    return session.get(IdempotencyKey, (team, key))


# Reading


def get(session: Session, job_id: str) -> Job | None:
    return session.get(Job, job_id, populate_existing=True)


def get_of_team(session: Session, team: str, job_id: str) -> Job:
    """The job, or NotFound when it is absent or another team's."""
    job = session.scalar(select(Job).where(Job.team == team, Job.id == job_id))
    if job is None:
        raise NotFound("no such job")
    return job


def standing(session: Session, team: str, job_id: str) -> Standing:
    """Where the job stands; NotFound as `get_of_team`."""
    row = session.execute(
        select(Job.status, Job.attempt, Job.play_started_at).where(Job.team == team, Job.id == job_id)
    ).one_or_none()
    if row is None:
        raise NotFound("no such job")
    return Standing(Status(row.status), row.attempt, row.play_started_at is not None)


def page(
    session: Session,
    team: str,
    *,
    limit: int,
    before: str | None,
    statuses: Sequence[str] = (),
    queue: str | None = None,
    labels: Sequence[tuple[str, ...]] = (),
) -> Sequence[Job]:
    """The newest jobs of a team, `limit` of them, older than the job `before`: reads only what it returns.

    Plans and artifacts are left where they are: a page of them would be large.
    """
    wanted = (
        select(Job)
        .options(defer(Job.plan), defer(Job.artifacts))
        .where(Job.team == team)
        .order_by(Job.id.desc())
        .limit(limit)
    )
    if before is not None:
        wanted = wanted.where(Job.id < before)
    if statuses:
        wanted = wanted.where(Job.status.in_(statuses))
    if queue is not None:
        wanted = wanted.where(Job.queue == queue)
    for name, value in labels:
        named = select(JobLabel.job_id).where(JobLabel.team == team, JobLabel.name == name, JobLabel.value == value)
        wanted = wanted.where(Job.id.in_(named))
    return session.scalars(wanted).all()


def hosts(session: Session, job_id: str) -> Sequence[JobHost]:
    return session.scalars(select(JobHost).where(JobHost.job_id == job_id).order_by(JobHost.host)).all()


def host_totals(session: Session, job_ids: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Per job: hosts known, hosts with a success, hosts failed or unreachable."""
    if not job_ids:
        return {}
    bad = JobHost.failed + JobHost.unreachable > 0
    rows = session.execute(
        select(
            JobHost.job_id,
            func.count(),
            func.sum(case((bad, 0), (JobHost.ok > 0, 1), else_=0)),
            func.sum(case((bad, 1), else_=0)),
        )
        .where(JobHost.job_id.in_(job_ids))
        .group_by(JobHost.job_id)
    )
    return {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in rows}


def product(session: Session, job: Job, kind: str) -> JobObject | None:
    """A stored product of the job's last attempt."""
    return session.get(JobObject, (job.id, job.attempt, kind))


def objects(session: Session, job_id: str) -> Sequence[JobObject]:
    return session.scalars(select(JobObject).where(JobObject.job_id == job_id)).all()


# Claim and the fenced writes of a worker


def claim(session: Session, job_id: str, owner: str, lease: float) -> Job | None:
    """Take a queued job for `owner`; None: somebody else has it, or it is not due."""
    due = Job.next_attempt_at.is_(None) | (Job.next_attempt_at <= now_plus())
    taken = transition(
        session,
        job_id,
        Status.QUEUED,
        Status.RUNNING,
        Job.cancel_requested_at.is_(None),
        due,
        attempt=Job.attempt + 1,
        lease_owner=owner,
        lease_until=now_plus(lease),
        started_at=now_plus(),
        phase=Phase.SOURCE,
        next_attempt_at=None,
        republish_at=None,
        events=None,
    )
    if not taken:
        return None
    job = session.get_one(Job, job_id, populate_existing=True)
    attempts.begin(session, job)
    return job


def write_running(session: Session, /, fence: Fence, **values: Any) -> None:
    """A fenced write to a running job; LeaseLost when it is no longer this attempt's."""
    if _update(session, *fence.holds(), Job.status == Status.RUNNING, **values) == 0:
        raise LeaseLost


def beat(session: Session, /, fence: Fence, renewed_lease: float | None, **values: Any) -> datetime | None:
    """Renew the lease and write progress, fenced; returns when cancelling was asked for, if it was."""
    if renewed_lease is not None:
        # Never shortened: a beat that began before the play must not undo the longer lease that the play began with.
        until = now_plus(renewed_lease)
        values["lease_until"] = case((Job.lease_until > until, Job.lease_until), else_=until)
    if values:
        write_running(session, fence, **values)
    row = session.execute(
        select(Job.cancel_requested_at).where(*fence.holds(), Job.status == Status.RUNNING)
    ).one_or_none()
    if row is None:
        raise LeaseLost
    return row[0]


def save_hosts(session: Session, fence: Fence, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Write the recap of some hosts, fenced; LeaseLost as `write_running`."""
    ours = select(Job.id).where(*fence.holds(), Job.status == Status.RUNNING).with_for_update()
    if session.scalar(ours) is None:
        raise LeaseLost
    rows = {host[:LONGEST_HOST]: numbers for host, numbers in counts.items()}
    names = list(rows)
    for start in range(0, len(names), HOSTS_AT_ONCE):
        some = names[start : start + HOSTS_AT_ONCE]
        session.execute(delete(JobHost).where(JobHost.job_id == fence.job_id, JobHost.host.in_(some)))
        session.execute(insert(JobHost), [{"job_id": fence.job_id, "host": host, **rows[host]} for host in some])


def finish(session: Session, /, fence: Fence, status: Status, **values: Any) -> bool:
    """End a running job, fenced; False: it was no longer this attempt's."""
    done = {"phase": Phase.FINISHING}
    return transition(session, fence.job_id, Status.RUNNING, status, *fence.holds(), afterwards=done, **values)


@dataclass(frozen=True, slots=True)
class Return:
    """Why a running job shall wait again, and for how many seconds at least.

    `failed`: the attempt counts as one of those that a job may have. `played`: also when it has begun to play, because
    its caller asked for that.
    """

    code: str
    message: str
    pause: float = 0
    failed: bool = True
    played: bool = False


def hand_back(session: Session, fence: Fence, why: Return) -> Status | None:
    """Queue a job again; None: no longer this attempt's."""
    return _requeue(session, fence.job_id, why, *fence.holds())


def _requeue(session: Session, job_id: str, why: Return, *guards: Any) -> Status | None:
    """Queue a running job again, or end it when it was asked to stop meanwhile: nobody would claim it again."""
    if not why.played:
        guards = (Job.play_started_at.is_(None), *guards)
    due = now_plus(why.pause)
    queued = transition(
        session,
        job_id,
        Status.RUNNING,
        Status.QUEUED,
        Job.cancel_requested_at.is_(None),
        *guards,
        error_code=why.code,
        error_message=why.message,
        afterwards={
            "phase": Phase.QUEUED,
            "queued_at": now_plus(),
            "play_started_at": None,
            "lease_owner": None,
            "lease_until": None,
            "next_attempt_at": due if why.pause else None,
            "republish_at": due,
            "republish_count": 0,
            "failures": Job.failures + int(why.failed),
            "last_error": f"{why.code}: {why.message}",
            "error_code": None,
            "error_message": None,
        },
    )
    if queued:
        session.execute(delete(JobHost).where(JobHost.job_id == job_id))  # what an earlier play said of its hosts
        return Status.QUEUED
    wish, done = Job.cancel_requested_at.is_not(None), {"phase": Phase.FINISHING}
    canceled = transition(session, job_id, Status.RUNNING, Status.CANCELED, wish, *guards, afterwards=done)
    return Status.CANCELED if canceled else None


# Cancelling


def cancel_queued(session: Session, team: str, job_id: str) -> bool:
    """Cancel a job that waits; False: it does not wait."""
    return transition(
        session,
        job_id,
        Status.QUEUED,
        Status.CANCELED,
        Job.team == team,
        cancel_requested_at=now_plus(),
        phase=Phase.FINISHING,
    )


def request_cancel(session: Session, team: str, job_id: str) -> bool:
    """Ask the worker of a running job to stop; False: it does not run. The first time of asking stays."""
    guards = (Job.team == team, Job.id == job_id, Job.status == Status.RUNNING)
    return _update(session, *guards, cancel_requested_at=func.coalesce(Job.cancel_requested_at, now_plus())) == 1


# Upkeep


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
    return _requeue(session, job.id, Return("worker_lost", message, pause, played=played), *same)


def _give_up(session: Session, job: Job, status: Status, message: str, guards: tuple[Any, ...]) -> Status | None:
    ended = transition(
        session, job.id, Status.RUNNING, status, *guards, error_code="worker_lost", error_message=message
    )
    return status if ended else None


def expire_lease_of(session: Session, dead: DeadAttempt) -> Job | None:
    """End the lease of an attempt now, when the process that held it is known to be dead; None: it has ended."""
    theirs = Job.lease_owner == dead.owner if dead.owner else Job.attempt == dead.attempt
    guards = (Job.id == dead.job_id, Job.status == Status.RUNNING, theirs)
    return get(session, dead.job_id) if _update(session, *guards, lease_until=now_plus(-1)) else None


def waiting_unpublished(session: Session, limit: int) -> Sequence[Job]:
    """Queued jobs that nobody has claimed for too long: their message may be lost."""
    wanted = select(Job).where(Job.status == Status.QUEUED, Job.republish_at <= now_plus())
    return session.scalars(wanted.order_by(Job.republish_at).limit(limit)).all()


def mark_republished(session: Session, job: Job, first_pause: float) -> bool:
    """Take the right to publish a waiting job again; pauses double. False: another upkeep was first."""
    pause = first_pause * 2 ** min(job.republish_count + 1, MAX_REPUBLISH_DOUBLINGS)
    guards = (Job.id == job.id, Job.status == Status.QUEUED, Job.republish_count == job.republish_count)
    return _update(session, *guards, republish_at=now_plus(pause), republish_count=Job.republish_count + 1) == 1


def count_waiting(session: Session, queue: str) -> int:
    return (
        session.scalar(select(func.count()).select_from(Job).where(Job.status == Status.QUEUED, Job.queue == queue))
        or 0
    )


def unclosed(session: Session, limit: int = 100) -> Sequence[Job]:
    """Ended jobs whose closing is due again: nobody has done it, or it failed."""
    due = func.coalesce(Job.republish_at, Job.finished_at) <= now_plus()
    wanted = select(Job).where(Job.closed_at.is_(None), Job.finished_at.is_not(None), Job.status.in_(TERMINAL), due)
    return session.scalars(wanted.order_by(Job.finished_at).limit(limit)).all()


def mark_closing(session: Session, job: Job) -> bool:
    """Take the right to send an ended job's closing again; pauses double. False: another upkeep was first."""
    pause = min(CLOSE_AFTER * 2 ** (job.republish_count + 1), CLOSE_PAUSE_CAP)
    guards = (Job.id == job.id, Job.closed_at.is_(None), Job.republish_count == job.republish_count)
    values = {"republish_at": now_plus(pause), "republish_count": Job.republish_count + 1}
    return _update(session, *guards, Job.status.in_(TERMINAL), **values) == 1


# Closing


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

    A log that could not be stored leaves the job unclosed, for as long as that is tried again.
    """
    known = Job.events.is_not_distinct_from(events)
    guards = (Job.id == job_id, Job.attempt == attempt, Job.status.in_(TERMINAL), Job.closed_at.is_(None), known)
    if _update(session, *guards, log_status=log_status) == 0:
        return False
    final = () if log_status is not LogStatus.FAILED else (Job.republish_count >= CLOSE_TRIES,)
    _update(session, *guards, *final, closed_at=now_plus(), republish_at=None)
    retain_days = session.execute(select(Job.spec).where(Job.id == job_id)).scalar_one()["options"].get("retain_days")
    for product in products:
        if retain_days is not None:
            product.expires_at = now_plus(retain_days * 86_400.0)
        session.merge(product)
    return True


def rescued(session: Session, job_id: str, attempt: int, events: int) -> bool:
    """Note that so many events of an attempt lie in the object store; True: its log was closed without some of them,
    and shall be closed again."""
    this = (Job.id == job_id, Job.attempt == attempt)
    unknown = Job.events.is_(None) | (Job.status == Status.RUNNING)
    _update(session, *this, unknown, events=events)
    lacking = (Job.events == events, Job.closed_at.is_not(None), Job.log_status != LogStatus.STORED)
    again = {"closed_at": None, "log_status": LogStatus.PENDING, "republish_at": now_plus(), "republish_count": 0}
    if _update(session, *this, *lacking, **again) == 0:
        return False
    session.execute(delete(JobObject).where(JobObject.job_id == job_id, JobObject.attempt == attempt))
    return True
