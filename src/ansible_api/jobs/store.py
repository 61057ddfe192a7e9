"""SQL of jobs. `transition` is the only place that writes a status; every write of a worker is fenced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Float, bindparam, case, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from ansible_api.credentials.store import wipe_of_job
from ansible_api.db import now_plus, rows_changed
from ansible_api.errors import Expired, LeaseLost, NotFound
from ansible_api.jobs import attempts, groups
from ansible_api.jobs.fairness import Group
from ansible_api.jobs.listing import found_by
from ansible_api.jobs.model import IdempotencyKey, Job, JobHost, JobLabel, JobObject, QueuePause, WorkerNode
from ansible_api.jobs.state import LogStatus, Phase, Status, may_move

CLOSE_AFTER = 15.0  # seconds that the closing of an ended job may take before it is sent again
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
    moved = change(session, Job.id == job_id, Job.status == source, *guards, status=target, **values) == 1
    if moved and source is Status.RUNNING:
        attempts.end(session, job_id, target)
    if moved and afterwards:
        change(session, Job.id == job_id, **afterwards)
    if moved and target.terminal:
        wipe_of_job(session, job_id)
    return moved


def change(session: Session, *guards: Any, **values: Any) -> int:
    """Write columns of the jobs that the guards let through; how many they were."""
    return rows_changed(session, update(Job).where(*guards), values)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands, for those who wait: cheap to read again and again."""

    status: Status
    attempt: int
    playing: bool
    log_expired: bool = False


# Submission


# One round trip: the row goes in, the database's times come back. The unit of work would take two, and twice the time.
_OWN_VALUES = (
    "id",
    "team",
    "key_id",
    "spec",
    "queue",
    "priority",
    "route_reason",
    "trace_parent",
    "relaunch_of",
    "concurrency_group",
    "concurrency_limit",
)
_FOUND_BY = ("repo", "search_text")
_INSERT = (
    insert(Job)
    .values(
        {name: bindparam(name) for name in (*_OWN_VALUES, *_FOUND_BY)}
        | {
            "created_at": now_plus(),
            "queued_at": now_plus(),
            "turn_at": now_plus(-bindparam("urgency", type_=Float)),
            # Null when so many seconds are: then it stands in line.
            "republish_at": now_plus(bindparam("republish_after", type_=Float)),
        }
    )
    .returning(Job)
)


def insert_job(session: Session, *, republish_after: float | None, urgency: float, **values: Any) -> Job:
    """Write a new job, which waits; `values` are those of _OWN_VALUES.

    `urgency`: seconds that its priority is worth. `republish_after`: it is published now, and again after so many
    seconds; None: it stands in line.
    """
    values |= {"republish_after": republish_after, "urgency": urgency, **found_by(values["spec"])}
    return session.scalars(_INSERT, values).one()


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
        select(Job.status, Job.attempt, Job.play_started_at, Job.log_status).where(Job.team == team, Job.id == job_id)
    ).one_or_none()
    if row is None:
        raise NotFound("no such job")
    expired = row.log_status == LogStatus.EXPIRED
    return Standing(Status(row.status), row.attempt, row.play_started_at is not None, expired)


def with_log(session: Session, team: str, job_id: str) -> Standing:
    """As `standing`; Expired when the job's log and files have had their time."""
    found = standing(session, team, job_id)
    if found.log_expired:
        raise Expired("the log and the files of this job have had their time: the job itself is still there")
    return found


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
    """Take a queued job for `owner`; None: it is another's, not due or not to begin now.

    That is: its queue is paused, its concurrency group is full, or the worker drains.
    """
    alone = Job.concurrency_group.is_(None)
    if not (_take(session, job_id, owner, lease, alone) or _take_of_group(session, job_id, owner, lease)):
        return None
    job = session.get_one(Job, job_id, populate_existing=True)
    attempts.begin(session, job)
    return job


def _take_of_group(session: Session, job_id: str, owner: str, lease: float) -> bool:
    """Take a job of a concurrency group, if that has room; nobody else counts the group meanwhile."""
    waiting = (Job.id == job_id, Job.status == Status.QUEUED, Job.concurrency_group.is_not(None))
    row = session.execute(select(Job.team, Job.concurrency_group, Job.concurrency_limit).where(*waiting)).one_or_none()
    if row is None:
        return False
    group = Group(row.team, row.concurrency_group)
    groups.lock(session, group)
    if groups.size(session, group, Status.RUNNING) >= row.concurrency_limit:
        return False
    return _take(session, job_id, owner, lease)


def _take(session: Session, job_id: str, owner: str, lease: float, *guards: Any) -> bool:
    due = Job.next_attempt_at.is_(None) | (Job.next_attempt_at <= now_plus())
    return transition(
        session,
        job_id,
        Status.QUEUED,
        Status.RUNNING,
        Job.cancel_requested_at.is_(None),
        ~exists().where(QueuePause.queue == Job.queue),
        ~exists().where(WorkerNode.node == owner.rpartition("/")[0], WorkerNode.drain_at.is_not(None)),
        due,
        *guards,
        attempt=Job.attempt + 1,
        lease_owner=owner,
        lease_until=now_plus(lease),
        started_at=now_plus(),
        phase=Phase.SOURCE,
        next_attempt_at=None,
        republish_at=None,
        events=None,
    )


def write_running(session: Session, /, fence: Fence, **values: Any) -> None:
    """A fenced write to a running job; LeaseLost when it is no longer this attempt's."""
    if change(session, *fence.holds(), Job.status == Status.RUNNING, **values) == 0:
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


_OF_ATTEMPT = ("play_started_at", "lease_owner", "lease_until", "artifacts", "error_code", "error_message")


def hand_back(session: Session, fence: Fence, why: Return) -> Status | None:
    """Queue a job again; None: no longer this attempt's."""
    return requeue(session, fence.job_id, why, *fence.holds())


def requeue(session: Session, job_id: str, why: Return, *guards: Any) -> Status | None:
    """Queue a running job again, or end it when it was asked to stop meanwhile: nobody would claim it again."""
    if not why.played:
        guards = (Job.play_started_at.is_(None), *guards)
    queued = transition(
        session,
        job_id,
        Status.RUNNING,
        Status.QUEUED,
        Job.cancel_requested_at.is_(None),
        *guards,
        error_code=why.code,
        error_message=why.message,
        afterwards=dict.fromkeys(_OF_ATTEMPT)
        | {
            "phase": Phase.QUEUED,
            "queued_at": now_plus(why.pause),  # nobody keeps it waiting before that
            "next_attempt_at": now_plus(why.pause) if why.pause else None,
            "republish_at": None,  # it stands in line again, in its old place
            "republish_count": 0,
            "failures": Job.failures + int(why.failed),
            "last_error": f"{why.code}: {why.message}",
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
    return change(session, *guards, cancel_requested_at=func.coalesce(Job.cancel_requested_at, now_plus())) == 1
