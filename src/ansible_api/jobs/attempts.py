"""SQL of the attempts at a job: the story that `GET /jobs/{id}` tells."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ansible_api.db import now_plus, rows_changed
from ansible_api.jobs.model import Job, JobAttempt
from ansible_api.jobs.state import Status

UNKNOWN_ENDS = (Status.LOST, Status.QUEUED)  # what an attempt that vanished has made of its job


def begin(session: Session, job: Job) -> None:
    """Note that a job was claimed."""
    assert job.lease_owner is not None  # noqa: S101 - set by the claim, as is the start
    assert job.started_at is not None  # noqa: S101
    row = JobAttempt(job_id=job.id, attempt=job.attempt, worker=job.lease_owner, started_at=job.started_at, timings={})
    session.add(row)
    session.flush()


def end(session: Session, job_id: str, outcome: Status) -> None:
    """Note the end of the job's attempt, and take from the job how far it came and why it ended."""

    def of_job(column: Any) -> Any:
        return select(column).where(Job.id == job_id).scalar_subquery()

    taken = ("phase", "timings", "play_started_at", "error_code", "error_message")
    session.execute(
        update(JobAttempt)
        .where(JobAttempt.job_id == job_id, JobAttempt.attempt == of_job(Job.attempt))
        .values(ended_at=now_plus(), outcome=outcome, **{name: of_job(getattr(Job, name)) for name in taken})
        .execution_options(synchronize_session=False)
    )


def note_late(session: Session, job_id: str, attempt: int, owner: str, late: Mapping[str, Any]) -> bool:
    """Keep what came of an attempt that had been given up; it changes nothing else. False: it had not been."""
    given_up = update(JobAttempt).where(
        JobAttempt.job_id == job_id,
        JobAttempt.attempt == attempt,
        JobAttempt.worker == owner,
        JobAttempt.outcome.in_(UNKNOWN_ENDS),
        JobAttempt.late_outcome.is_(None),
    )
    return rows_changed(session, given_up, {"late_outcome": dict(late)}) == 1


def of_job(session: Session, job_id: str) -> Sequence[JobAttempt]:
    """The attempts at a job, first to last."""
    return session.scalars(select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.attempt)).all()
