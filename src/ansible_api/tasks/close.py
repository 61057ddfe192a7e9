"""The task that closes an ended job: records its products and releases its webhooks."""

import contextlib
from collections.abc import Sequence
from typing import Any

from celery import shared_task
from sqlalchemy.orm import Session

from ansible_api.db import now_plus
from ansible_api.deliveries import store as deliveries
from ansible_api.errors import AnsibleApiError, Unavailable
from ansible_api.events import keys
from ansible_api.events.publish import expire
from ansible_api.jobs import store
from ansible_api.jobs.model import JobObject
from ansible_api.objects import ObjectStore, with_store
from ansible_api.routing import TaskName
from ansible_api.tasks.worker import current


@shared_task(name=TaskName.CLOSE_JOB, acks_late=True)
def close_job(outcomes: Sequence[dict[str, Any]], job_id: str, attempt: int) -> None:
    """Record what the uploads stored; twice is once."""
    worker = current()
    released = worker.db.write(_close, outcomes, job_id, attempt)
    if all(outcome["status"] == "stored" for outcome in outcomes):
        expire(worker.redis, job_id, attempt, worker.settings.hot_events_ttl)
        with contextlib.suppress(AnsibleApiError):  # they cost space, not truth
            with_store(worker.settings, lambda objects: _drop_segments(objects, job_id, attempt))
    for delivery_id in released:
        with contextlib.suppress(Unavailable):  # upkeep sends what is due
            worker.queue.deliver(delivery_id)


def _close(session: Session, outcomes: Sequence[dict[str, Any]], job_id: str, attempt: int) -> Sequence[str]:
    stored = [outcome for outcome in outcomes if outcome["status"] == "stored"]
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
        for outcome in stored
    ]
    status = "stored" if len(stored) == len(outcomes) else "failed"
    if not store.close(session, job_id, attempt, log_status=status, products=products):
        return ()
    return deliveries.release(session, job_id)


async def _drop_segments(objects: ObjectStore, job_id: str, attempt: int) -> None:
    """The stored events hold all that the segments held."""
    for name in [name async for name in objects.keys(keys.segments(job_id, attempt))]:
        await objects.delete(name)
