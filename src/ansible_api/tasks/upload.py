"""The task that stores one product of an ended job; any worker can do it, also after the one that played has died."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

from celery import shared_task
from sqlalchemy.orm import Session
from structlog.contextvars import bind_contextvars

from ansible_api import tracing
from ansible_api.db import Database
from ansible_api.errors import AnsibleApiError, Unavailable
from ansible_api.events import keys
from ansible_api.events.sofar import Form
from ansible_api.events.subscribe import Batch, EventReader
from ansible_api.jobs import store
from ansible_api.jobs.model import Job, JobObject
from ansible_api.jobs.state import LogStatus, Status
from ansible_api.logs import get_logger
from ansible_api.objects import open_store, run_unjoined
from ansible_api.redis import async_client
from ansible_api.routing import TaskName
from ansible_api.settings import Settings
from ansible_api.tasks.worker import current
from ansible_api.tracing import Attributes, Kind

AT_ONCE = 5.0  # seconds: a failure that takes longer is no blip
PAUSE = 0.5
log = get_logger(__name__)


@shared_task(name=TaskName.UPLOAD, acks_late=True, ignore_result=False)
def upload(job_id: str, attempt: int, product: str) -> dict[str, Any]:
    """Store the log or the events."""
    worker = current()
    return outcome(worker.settings, worker.db, job_id, attempt, product)


def outcome(settings: Settings, db: Database, job_id: str, attempt: int, product: str) -> dict[str, Any]:
    """What became of the upload; any failure is a result, because a raise would skip the chord's body for ever.

    A message that comes again, too late or too early stores nothing.
    """
    # In a context of its own: what is bound there, for the log's lines, ends with it.
    return copy_context().run(_outcome, settings, db, job_id, attempt, product)


def _outcome(settings: Settings, db: Database, job_id: str, attempt: int, product: str) -> dict[str, Any]:
    expected: int | None = None
    bind_contextvars(job_id=job_id, attempt=attempt)
    try:
        job, done = db.read(_state, job_id, attempt, product)
        if job is None or job.attempt != attempt or not Status(job.status).terminal or _is_expired(job):
            return {"kind": product, "status": LogStatus.FAILED, "expected": None}
        bind_contextvars(**job.log_fields)
        expected = job.events
        if done is not None:
            known = {"key": done.key, "size": done.size, "sha256": done.sha256}
            return {"kind": product, "status": LogStatus.STORED, "expected": expected} | known
        return _stored(settings, job, product) | {"kind": product, "expected": expected}
    except (AnsibleApiError, OSError) as error:
        log.warning("upload failed", product=product, error=str(error))
    except Exception:
        log.exception("upload failed", product=product)
    return {"kind": product, "status": LogStatus.FAILED, "expected": expected}


def _is_expired(job: Job) -> bool:
    return job.log_status == LogStatus.EXPIRED


def _stored(settings: Settings, job: Job, product: str) -> dict[str, Any]:
    about: Attributes = {"ansible_api.job_id": job.id, "ansible_api.attempt": job.attempt}
    with tracing.begin(f"store {product}", parent=job.trace_parent, kind=Kind.CONSUMER, attributes=about) as span:
        stored = run_unjoined(_upload(settings, (job.id, job.attempt), product, job.events))
        span.note({"ansible_api.size": stored["size"], "ansible_api.log_status": stored["status"]})
        return stored


def _state(session: Session, job_id: str, attempt: int, product: str) -> tuple[Job | None, JobObject | None]:
    """The job, and its product if that is stored whole."""
    job = store.get(session, job_id)
    whole = job is not None and job.attempt == attempt and job.log_status == LogStatus.STORED
    return job, store.product(session, job, product) if job is not None and whole else None


async def _upload(settings: Settings, place: tuple[str, int], product: str, expected: int | None) -> dict[str, Any]:
    """One more try after a failure that came at once: upkeep tries again for a day, and others wait for this slot."""
    began = time.monotonic()
    try:
        return await _upload_once(settings, place, product, expected)
    except Unavailable:
        if time.monotonic() - began > AT_ONCE:
            raise
    await asyncio.sleep(PAUSE)
    return await _upload_once(settings, place, product, expected)


async def _upload_once(
    settings: Settings, place: tuple[str, int], product: str, expected: int | None
) -> dict[str, Any]:
    redis = async_client(settings.redis_url.get_secret_value())
    try:
        async with open_store(settings) as objects:
            with tempfile.NamedTemporaryFile() as file:
                path = Path(file.name)
                form = Form.TEXT if product == "log" else Form.NDJSON
                events = await _write(EventReader(redis, objects, *place).batches(ended=True), form, path)
                whole = events == expected
                key = (keys.log_object if product == "log" else keys.events_object)(*place, whole=whole)
                stored = await objects.put(key, path)
    finally:
        await redis.aclose()
    status = LogStatus.STORED if whole else LogStatus.PARTIAL
    return {"status": status, "key": key, "size": stored.size, "sha256": stored.sha256}


async def _write(batches: AsyncIterator[Batch], form: Form, path: Path) -> int:
    """The number of the last event, and so of all."""
    last = 0
    with path.open("wb") as file:
        async for batch in batches:
            file.write(form.bytes_of_all(batch))
            last = batch.last
    return last
