"""The log of a job, at any time: what is there so far, or the stored file."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response, StreamingResponse

from ansible_api.api import PREFIX
from ansible_api.api.deps import Parts, Service, Viewer
from ansible_api.api.openapi import problems
from ansible_api.errors import RangeNotSatisfiable
from ansible_api.events.sofar import Form, LogSoFar
from ansible_api.events.subscribe import EventReader
from ansible_api.jobs import store
from ansible_api.jobs.model import Job, JobObject
from ansible_api.jobs.state import Status

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def _product(form: Form) -> str:
    return "log" if form is Form.TEXT else "events"


def _media_type(form: Form) -> str:
    return "text/plain; charset=utf-8" if form is Form.TEXT else "application/x-ndjson"


@router.get(
    "/{job_id}/logs",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}, "application/x-ndjson": {}}},
        206: {"description": "The part that `Range` asked for; `/*`: the log still grows"},
        307: {"description": "The stored log lies at `Location`"},
        **problems(401, 403, 404, 416, 422, 503),
    },
)
async def get_log(
    caller: Viewer,
    service: Service,
    job_id: str,
    format: Form = Form.TEXT,  # noqa: A002 - the parameter's name in the API
    range: Annotated[str | None, Header()] = None,  # noqa: A002
) -> Response:
    """The log: all of it when the job is closed, else what is there so far."""
    job, stored = await service.db.read(_job_and_product, caller.team, job_id, _product(format))
    if stored is None:
        return await _so_far(service, job, format, range)
    filename = f"{job.id}.{'log' if format is Form.TEXT else 'ndjson'}"
    if url := await service.objects.presign(stored.key, service.settings.presign_ttl, filename):
        return RedirectResponse(url, headers={"Cache-Control": "no-store"})
    return await _bytes(service, stored, format, range)


def _job_and_product(session: Session, team: str, job_id: str, kind: str) -> tuple[Job, JobObject | None]:
    job = store.get_of_team(session, team, job_id)
    return job, store.product(session, job, kind)


async def _so_far(service: Parts, job: Job, form: Form, wanted: str | None) -> Response:
    """What the events that are there say; its total length is told once the play's last one is among them."""
    reader, ended = EventReader(service.redis, service.objects, job.id, job.attempt), Status(job.status).terminal
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "no-store"}
    part = None
    if names_bytes(wanted):
        log = await LogSoFar.look(reader, form, ended=ended)
        part = part_of(wanted, log.size)
    if part is None:
        pieces = await _primed(_all(reader, form, ended=ended))
        return StreamingResponse(pieces, headers=headers, media_type=_media_type(form))
    total = log.size if ended and log.end.seq == job.events else "*"
    headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{total}"
    headers["Content-Length"] = str(part.end - part.start)
    pieces = await _primed(log.part(part.start, part.end))
    return StreamingResponse(pieces, 206, headers, _media_type(form))


async def _all(reader: EventReader, form: Form, *, ended: bool) -> AsyncIterator[bytes]:
    async for batch in reader.batches(ended=ended):
        yield form.bytes_of_all(batch)


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


async def _bytes(service: Parts, stored: JobObject, form: Form, wanted: str | None) -> Response:
    part = part_of(wanted, stored.size)
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{stored.sha256}"'}
    start, end = (part.start, part.end) if part else (0, stored.size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    pieces = await _primed(service.objects.get(stored.key, start, end))
    return StreamingResponse(pieces, 206 if part else 200, headers, _media_type(form))


def names_bytes(wanted: str | None) -> bool:
    """Whether a Range header asks for one range of bytes."""
    match = _RANGE.fullmatch((wanted or "").strip())
    return match is not None and bool(match[1] or match[2])


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
