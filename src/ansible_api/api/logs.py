"""The log of a job, at any time: what is there so far, or the stored file."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Header
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response, StreamingResponse

from ansible_api.api import PREFIX
from ansible_api.api.deps import Parts, Service, Viewer
from ansible_api.api.openapi import problems
from ansible_api.errors import RangeNotSatisfiable
from ansible_api.events.subscribe import EventReader, text_of
from ansible_api.jobs import store
from ansible_api.jobs.model import Job, JobObject
from ansible_api.jobs.state import Status

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
BATCH = 64 * 1024


class LogFormat(StrEnum):
    """How the log comes: as Ansible printed it, or its events, one JSON document a line."""

    TEXT = "text"
    NDJSON = "ndjson"

    @property
    def product(self) -> str:
        return "log" if self is LogFormat.TEXT else "events"

    @property
    def media_type(self) -> str:
        return "text/plain; charset=utf-8" if self is LogFormat.TEXT else "application/x-ndjson"


@router.get(
    "/{job_id}/logs",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}, "application/x-ndjson": {}}},
        206: {"description": "The part that `Range` asked for, of a stored log"},
        307: {"description": "The stored log lies at `Location`"},
        **problems(401, 403, 404, 416, 422, 503),
    },
)
async def get_log(
    caller: Viewer,
    service: Service,
    job_id: str,
    format: LogFormat = LogFormat.TEXT,  # noqa: A002 - the parameter's name in the API
    range: Annotated[str | None, Header()] = None,  # noqa: A002
) -> Response:
    """The log: all of it when the job is closed, else what is there so far."""
    job, stored = await service.db.read(_job_and_product, caller.team, job_id, format.product)
    if stored is None:
        lines = await _primed(_so_far(service, job, format))
        return StreamingResponse(lines, media_type=format.media_type, headers={"Cache-Control": "no-store"})
    filename = f"{job.id}.{'log' if format is LogFormat.TEXT else 'ndjson'}"
    if url := await service.objects.presign(stored.key, service.settings.presign_ttl, filename):
        return RedirectResponse(url, headers={"Cache-Control": "no-store"})
    return await _bytes(service, stored, format, range)


def _job_and_product(session: Session, team: str, job_id: str, kind: str) -> tuple[Job, JobObject | None]:
    job = store.get_of_team(session, team, job_id)
    return job, store.product(session, job, kind)


async def _so_far(service: Parts, job: Job, format: LogFormat) -> AsyncIterator[bytes]:  # noqa: A002
    """What the events that are there say, in pieces of some size."""
    piece = bytearray()
    reader = EventReader(service.redis, service.objects, job.id, job.attempt)
    async for event in reader.history(ended=Status(job.status).terminal):
        piece += (text_of(event) if format is LogFormat.TEXT else event.to_json() + "\n").encode()
        if len(piece) >= BATCH:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


async def _primed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, the first already read: what fails there still becomes an answer."""
    first = await anext(pieces, b"")

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_pieces()


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes `[start:end]` of a file."""

    start: int
    end: int


async def _bytes(service: Parts, stored: JobObject, format: LogFormat, wanted: str | None) -> Response:  # noqa: A002
    part = part_of(wanted, stored.size)
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{stored.sha256}"'}
    start, end = (part.start, part.end) if part else (0, stored.size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    pieces = await _primed(service.objects.get(stored.key, start, end))
    return StreamingResponse(pieces, 206 if part else 200, headers, format.media_type)


def part_of(wanted: str | None, size: int) -> Part | None:
    """What a Range header asks for (RFC 9110, 14.2); None: all, as for any form that is not one range of bytes."""
    match = _RANGE.fullmatch((wanted or "").strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(size - int(match[2]), 0), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(f"the log has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return Part(start, end)
