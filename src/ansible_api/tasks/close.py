"""The task that closes an ended job: records its products and releases its webhooks."""

import contextlib
from collections.abc import Sequence
from typing import Any

from celery import shared_task
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from ansible_api import telemetry
from ansible_api.db import now_plus
from ansible_api.deliveries import store as deliveries
from ansible_api.dispatch import PRODUCTS
from ansible_api.errors import AnsibleApiError, Unavailable
from ansible_api.events.publish import expire
from ansible_api.jobs import closing, store
from ansible_api.jobs.model import Job, JobObject
from ansible_api.jobs.state import LogStatus
from ansible_api.objects import with_store
from ansible_api.routing import TaskName
from ansible_api.tasks.leftovers import drop_leftovers
from ansible_api.tasks.worker import Worker, current


@shared_task(name=TaskName.CLOSE_JOB, acks_late=True)
def close_job(outcomes: Sequence[dict[str, Any]], job_id: str, attempt: int) -> None:
    """Record what the uploads stored; twice is once. A log that could not be stored is tried again by upkeep."""
    if attempt and {outcome["kind"] for outcome in outcomes} != set(PRODUCTS):
        return  # no chord of ours: upkeep orders what is missing
    worker = current()
    with bound_contextvars(job_id=job_id, attempt=attempt):
        _close_and_tell(worker, outcomes, job_id, attempt)


def _close_and_tell(worker: Worker, outcomes: Sequence[dict[str, Any]], job_id: str, attempt: int) -> None:
    status = log_status(outcomes)
    stored, released, ended = worker.db.write(_close, status, outcomes, job_id, attempt)
    if ended is not None:
        _count(ended)
    if stored:
        expire(worker.redis, job_id, attempt, worker.settings.hot_events_ttl)
        with contextlib.suppress(AnsibleApiError):  # they cost space, not truth
            with_store(worker.settings, lambda objects: drop_leftovers(objects, job_id, attempt))
    for delivery_id in released:
        with contextlib.suppress(Unavailable):  # upkeep sends what is due
            worker.queue.deliver(delivery_id)


def _count(job: Job) -> None:
    """Metrics of an ended job, made of its row: who ran it may be gone before anybody asks for its metrics."""
    assert job.finished_at is not None  # noqa: S101 - it has ended
    telemetry.JOBS_ENDED.labels(job.queue, job.status).inc()
    if job.started_at is not None and job.started_at >= job.queued_at:  # else it ended while it waited
        telemetry.QUEUE_SECONDS.labels(job.queue).observe((job.started_at - job.queued_at).total_seconds())
        telemetry.RUN_SECONDS.labels(job.queue, job.status).observe((job.finished_at - job.started_at).total_seconds())


def log_status(outcomes: Sequence[dict[str, Any]]) -> LogStatus:
    """The worst of what became of the products."""
    became = {outcome["status"] for outcome in outcomes}
    return next((status for status in (LogStatus.FAILED, LogStatus.PARTIAL) if status in became), LogStatus.STORED)


def _close(
    session: Session, status: LogStatus, outcomes: Sequence[dict[str, Any]], job_id: str, attempt: int
) -> tuple[bool, Sequence[str], Job | None]:
    """Whether the log is stored, now or before, the webhooks that are free now, and the job if it is to be counted."""
    products = [
        JobObject(
            job_id=job_id,
            attempt=attempt,
            kind=outcome["kind"],
            key=outcome["key"],
            size=outcome["size"],
            sha256=outcome["sha256"],
            created_at=now_plus(),
        )
        for outcome in outcomes
        if outcome["status"] != LogStatus.FAILED
    ]
    expected = {outcome["expected"] for outcome in outcomes} or {None}
    if len(expected) > 1:  # what a rescue found came between them
        return False, (), None
    [events] = expected
    closed = closing.close(session, job_id, attempt, log_status=status, events=events, products=products)
    released = deliveries.release(session, job_id) if closed else ()
    first = closed and closing.count_once(session, job_id)
    job = store.get(session, job_id)
    stored = job is not None and job.attempt == attempt and job.log_status == LogStatus.STORED
    return stored, released, job if first else None
