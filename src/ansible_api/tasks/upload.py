"""The task that stores one product of an ended job; any worker can do it, also after the one that played has died."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from celery import shared_task

from ansible_api.errors import AnsibleApiError, Unavailable
from ansible_api.events import keys
from ansible_api.events.subscribe import EventReader, text_of
from ansible_api.events.types import Event
from ansible_api.logs import get_logger
from ansible_api.objects import open_store
from ansible_api.redis import async_client
from ansible_api.routing import TaskName
from ansible_api.settings import Settings
from ansible_api.tasks.worker import current

log = get_logger(__name__)


@shared_task(name=TaskName.UPLOAD, acks_late=True, ignore_result=False)
def upload(job_id: str, attempt: int, product: str) -> dict[str, Any]:
    """Store the log or the events."""
    return outcome(current().settings, job_id, attempt, product)


def outcome(settings: Settings, job_id: str, attempt: int, product: str) -> dict[str, Any]:
    """What became of the upload; any failure is a result, because a raise would skip the chord's body for ever."""
    try:
        return asyncio.run(_upload(settings, job_id, attempt, product))
    except (AnsibleApiError, OSError) as error:
        log.warning("upload failed", job_id=job_id, product=product, error=str(error))
    except Exception:
        log.exception("upload failed", job_id=job_id, product=product)
    return {"kind": product, "status": "failed"}


async def _upload(settings: Settings, job_id: str, attempt: int, product: str) -> dict[str, Any]:
    for pause in (0.5, 2.0, 5.0, None):
        try:
            return await _upload_once(settings, job_id, attempt, product)
        except Unavailable:
            if pause is None:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def _upload_once(settings: Settings, job_id: str, attempt: int, product: str) -> dict[str, Any]:
    key = keys.log_object(job_id, attempt) if product == "log" else keys.events_object(job_id, attempt)
    redis = async_client(settings.redis_url.get_secret_value())
    try:
        async with open_store(settings) as objects:
            with tempfile.NamedTemporaryFile() as file:
                path = Path(file.name)
                await _write(EventReader(redis, objects, job_id, attempt).history(ended=True), product, path)
                stored = await objects.put(key, path)
    finally:
        await redis.aclose()
    return {"kind": product, "status": "stored", "key": key, "size": stored.size, "sha256": stored.sha256}


async def _write(events: AsyncIterator[Event], product: str, path: Path) -> None:
    with path.open("wb") as file:
        async for event in events:
            file.write((text_of(event) if product == "log" else event.to_json() + "\n").encode())
