"""Events of a job: live as server-sent events, or page by page."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from ansible_api.api import PREFIX
from ansible_api.api.answers import answer
from ansible_api.api.deps import Parts, Service, Viewer
from ansible_api.api.openapi import problems
from ansible_api.errors import AnsibleApiError
from ansible_api.events.subscribe import Batch, EventReader
from ansible_api.events.types import Event
from ansible_api.jobs import service as jobs
from ansible_api.jobs import store
from ansible_api.jobs.state import Status
from ansible_api.jobs.store import Standing
from ansible_api.logs import get_logger

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])
LAST_SEQ = 2**63 - 1  # Redis knows no larger ones
PAGE_BYTES = 4 * 1024 * 1024
HEARTBEAT = 15
SEND_LIMIT = 30.0  # a reader that takes nothing for so long has gone
QUEUED_PAUSE, PREPARING_PAUSE = 0.5, 0.1
log = get_logger(__name__)


class EventPage(BaseModel):
    """Some events, in order."""

    items: list[Event]
    next_after: int = Field(description="`after` of the next page")


@router.get("/{job_id}/events", response_model=EventPage, responses=problems(401, 403, 404, 410, 422, 503))
async def list_events(
    caller: Viewer,
    service: Service,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=LAST_SEQ, description="the last `seq` that you have")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Events after a `seq`, as far as there are any now.

    A page ends at `limit` events or at about 4 MiB, with one event at least. An empty page: there are no more yet.
    """
    standing = await service.db.read(store.with_log, caller.team, job_id)
    items = [event async for event in _page(_reader(service, job_id, standing), standing, after, limit)]
    return answer(EventPage(items=items, next_after=items[-1].seq if items else after))


async def _page(reader: EventReader, standing: Standing, after: int, limit: int) -> AsyncIterator[Event]:
    """At most `limit` events and, from the second one on, PAGE_BYTES of lines."""
    size = 0
    async for batch in reader.batches(after, ended=standing.status.terminal):
        for seq, line in enumerate(batch.lines, start=batch.first):
            size += len(line)
            if size > PAGE_BYTES and seq > after + 1:
                return
            yield Event.from_json(line)
            if seq == after + limit:
                return


@router.get(
    "/{job_id}/stream",
    response_class=EventSourceResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "`event` frames, then one `end` with the job"},
        **problems(401, 403, 404, 410, 422, 503),
    },
)
async def stream(
    request: Request,
    caller: Viewer,
    service: Service,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=LAST_SEQ, description="the last `seq` that you have")] = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=LAST_SEQ)] = None,
) -> Response:
    """Events as they happen, from the first one or after the one you have, until the job has ended."""
    standing = await service.db.read(store.with_log, caller.team, job_id)
    base_url = service.settings.base_url(str(request.base_url))
    seen = _Seen(standing, after if last_event_id is None else last_event_id)
    frames = _frames(service, caller.team, job_id, seen, base_url)
    heartbeat = ServerSentEvent(comment="heartbeat", sep="\n")
    return EventSourceResponse(
        frames, ping=HEARTBEAT, sep="\n", send_timeout=SEND_LIMIT, ping_message_factory=lambda: heartbeat
    )


class _Seen:
    """Which events a reader has: those up to `after` of `attempt`, or of an earlier one."""

    def __init__(self, standing: Standing, after: int) -> None:
        self.attempt = standing.attempt
        preparing = standing.status == Status.RUNNING and not standing.playing
        self.after = 0 if preparing else after  # an attempt that has not begun to play has told nothing

    def begin(self, attempt: int) -> None:
        """Go on with the attempt that is there now: of a later one the reader has nothing."""
        if attempt != self.attempt:
            self.attempt, self.after = attempt, 0


async def _frames(
    service: Parts, team: str, job_id: str, seen: _Seen, base_url: str
) -> AsyncIterator[ServerSentEvent | bytes]:
    try:
        async for batch in _until_ended(service, team, job_id, seen):
            yield b"".join(_frames_of(batch))
        job = await service.db.read(jobs.view, team, job_id, base_url=base_url)
        yield ServerSentEvent(job.model_dump_json(), event="end", sep="\n")
    except AnsibleApiError as error:
        # The reader comes again with Last-Event-ID.
        log.warning("stream broken off", job_id=job_id, reason=error.detail)


def _frames_of(batch: Batch) -> Iterator[bytes]:
    """A line of NDJSON has no line's end in it, so it is a frame's data as it stands."""
    for seq, line in enumerate(batch.lines, start=batch.first):
        yield b"id: %d\nevent: event\ndata: %b\n\n" % (seq, line)


async def _until_ended(service: Parts, team: str, job_id: str, seen: _Seen) -> AsyncIterator[Batch]:
    """The events of the job's attempt; of the next one too, from its first, when it is run again. Ends with the job."""
    while True:
        standing = await _playing_or_ended(service, team, job_id)
        seen.begin(standing.attempt)
        async for batch in _of_attempt(service, team, job_id, standing, seen.after):
            seen.after = batch.last
            yield batch
        now = await service.db.read(store.standing, team, job_id)
        if now.status.terminal and now.attempt == seen.attempt:
            return


async def _playing_or_ended(service: Parts, team: str, job_id: str) -> Standing:
    """Before the play there are no events: look at the row until it has begun."""
    while True:
        standing = await service.db.read(store.standing, team, job_id)
        if standing.playing or standing.status.terminal:
            return standing
        await anyio.sleep(QUEUED_PAUSE if standing.status == "queued" else PREPARING_PAUSE)


async def _of_attempt(service: Parts, team: str, job_id: str, known: Standing, after: int) -> AsyncIterator[Batch]:
    """Events of one attempt, until it is over and all of them were told."""
    reader = _reader(service, job_id, known)
    async for batch in reader.follow(after):
        if batch is not None:
            after = batch.last
            yield batch
            continue
        now = await service.db.read(store.standing, team, job_id)
        if now.status.terminal or now.attempt != known.attempt or not now.playing:
            break
    # What came between the last look at the events and the look at the row.
    async for batch in reader.batches(after, ended=True):
        yield batch


def _reader(service: Parts, job_id: str, standing: Standing) -> EventReader:
    return EventReader(service.redis, service.objects, job_id, standing.attempt)
