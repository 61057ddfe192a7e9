"""The reader's side of events: what is there so far, and what comes next."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import redis
import redis.asyncio

from ansible_api.errors import NotFound, Unavailable
from ansible_api.events import keys
from ansible_api.events.types import Event
from ansible_api.objects import ObjectStore

PAGE = 500
BLOCK_MS = 1000
HANG_LIMIT = 0.25  # seconds by which Redis may be late


class EventReader:
    """Reads the events of one attempt from wherever they are: stored file, segments, stream."""

    def __init__(self, client: "redis.asyncio.Redis", store: ObjectStore, job_id: str, attempt: int) -> None:
        self._redis, self._store = client, store
        self._job_id, self._attempt = job_id, attempt
        self._stream = keys.stream(job_id, attempt)

    async def history(self, after: int = 0, *, ended: bool = False) -> AsyncIterator[Event]:
        """Events after `after` that are there now, in order and without gaps. Unavailable: Redis is away.

        Once the play has ended, what the stream lacks of its end may lie in the store.
        """
        while True:
            batch, last = await self._hot(after)
            # The stream keeps its last event when others move away: one that holds `after` or its successor is whole.
            fresh = [event for event in batch if event.seq > after] if batch and batch[0].seq <= after + 1 else []
            for event in fresh:
                yield event
            if not fresh and (ended or not batch or batch[0].seq > after + 1) and after != last:
                async for event in self._stored(after):
                    fresh = [event]
                    yield event
            if not fresh:
                return
            after = fresh[-1].seq

    async def follow(self, after: int = 0) -> AsyncIterator[Event | None]:
        """Events after `after`, for ever; None whenever it is time to look whether the job has ended."""
        woken = False
        while True:
            found = False
            async for event in self.history(after):
                found, after = True, event.seq
                yield event
            yield None
            if woken and not found:  # by what cannot be told now: a stream that has lost its beginning
                await asyncio.sleep(BLOCK_MS / 1000)
            woken = await self._wait(after)

    async def _wait(self, after: int) -> bool:
        """True when there may be more, or the end mark (`last seq`-1) is there; False after a second without."""
        try:
            return bool(await self._redis.xread({self._stream: f"{after}-0"}, block=BLOCK_MS, count=1))
        except redis.RedisError as error:
            raise _away(error) from error

    async def _hot(self, after: int) -> tuple[list[Event], int | None]:
        """A page of the stream, and the number of the play's last event when the page has the end mark."""
        try:
            entries = await self._redis.xrange(self._stream, min=f"{after}-0", count=PAGE)
        except redis.RedisError as error:
            raise _away(error) from error
        events, last = list[Event](), None
        for entry, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", entries):
            if keys.EVENT_FIELD in fields:
                events.append(Event.from_json(fields[keys.EVENT_FIELD]))
            else:
                last = int(entry.partition(b"-")[0])
        return events, last

    async def _stored(self, after: int) -> AsyncIterator[Event]:
        try:
            async for event in self._lines(keys.events_object(self._job_id, self._attempt), after):
                yield event
        except NotFound:
            prefix = keys.segments(self._job_id, self._attempt)
            names = [name async for name in self._store.keys(prefix)]
            for name in _needed(sorted(names), after):
                async for event in self._lines(name, after):
                    after = event.seq
                    yield event

    async def _lines(self, name: str, after: int) -> AsyncIterator[Event]:
        rest = b""
        async for chunk in self._store.get(name):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = Event.from_json(line)
                if event.seq > after:
                    yield event


async def hear_of_end(client: "redis.asyncio.Redis", job_id: str, seconds: float) -> bool:
    """Wait until a worker says that the job has ended; False when none did for so many seconds."""
    try:
        async with asyncio.timeout(seconds + HANG_LIMIT):
            return bool(await client.xread({keys.ended(job_id): "0"}, block=max(1, int(1000 * seconds)), count=1))
    except TimeoutError:
        return False
    except redis.RedisError:
        await asyncio.sleep(seconds)
        return False


def _needed(names: list[str], after: int) -> list[str]:
    """The segments that hold something after `after`: a segment ends where the next one begins."""
    starts = [int(name.rpartition("/")[2].removesuffix(".ndjson")) for name in names]
    ends = [*starts[1:], after + 2][: len(names)]
    return [name for name, end in zip(names, ends, strict=True) if end > after + 1]


def _away(error: Exception) -> Unavailable:
    return Unavailable(
        f"live events are away ({type(error).__name__}); try again shortly", headers={"Retry-After": "5"}
    )


def text_of(event: Event) -> str:
    """What an event adds to the text log."""
    return event.stdout + "\n" if event.stdout else ""
