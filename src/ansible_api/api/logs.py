"""The log of a job, at any time: what is there so far, or the stored file."""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from ansible_api.api import PREFIX
from ansible_api.api.deps import Parts, Service, Viewer
from ansible_api.api.files import StoredFile, WantedPart, file_answer, names_bytes, part_of, primed
from ansible_api.api.openapi import problems
from ansible_api.events.sofar import Form, LogSoFar
from ansible_api.events.subscribe import EventReader
from ansible_api.jobs import store
from ansible_api.jobs.model import Job, JobObject
from ansible_api.jobs.state import Status

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])


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
        **problems(401, 403, 404, 410, 416, 422, 503),
    },
)
async def get_log(
    caller: Viewer,
    service: Service,
    job_id: str,
    wanted: WantedPart,
    format: Form = Form.TEXT,  # noqa: A002 - the parameter's name in the API
) -> Response:
    """The log: all of it when the job is closed, else what is there so far."""
    job, stored = await service.db.read(_job_and_product, caller.team, job_id, _product(format))
    if stored is None:
        return await _so_far(service, job, format, wanted.of(None))
    filename = f"{job.id}.{'log' if format is Form.TEXT else 'ndjson'}"
    file = StoredFile(stored.key, stored.size, stored.sha256, filename, _media_type(format))
    return await file_answer(service, file, wanted)


def _job_and_product(session: Session, team: str, job_id: str, kind: str) -> tuple[Job, JobObject | None]:
    store.with_log(session, team, job_id)
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
        pieces = await primed(_all(reader, form, ended=ended))
        return StreamingResponse(pieces, headers=headers, media_type=_media_type(form))
    total = log.size if ended and log.end.seq == job.events else "*"
    headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{total}"
    headers["Content-Length"] = str(part.end - part.start)
    pieces = await primed(log.part(part.start, part.end))
    return StreamingResponse(pieces, 206, headers, _media_type(form))


async def _all(reader: EventReader, form: Form, *, ended: bool) -> AsyncIterator[bytes]:
    async for batch in reader.batches(ended=ended):
        yield form.bytes_of_all(batch)
