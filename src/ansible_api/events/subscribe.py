"""The reader's side of events: what is there so far, and what comes next, as the lines that the worker wrote."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import redis
import redis.asyncio

from ansible_api.errors import NotFound, Unavailable
from ansible_api.events import keys
from ansible_api.events.types import Event, Place
from ansible_api.objects import ObjectStore

PAGE = 500
BLOCK_MS = 1000
HANG_LIMIT = 0.25  # seconds by which Redis may be late
PROBE = 64 * 1024
NEAR = 1024 * 1024  # bytes of a stored file that are read rather than searched
_SEQ = re.compile(rb'\{"seq":\s?(\d+)')


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events in order and without gaps, as lines of NDJSON without their newlines."""

    first: int
    lines: list[bytes]

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1


class _Hot(NamedTuple):
    """What the stream holds behind some event, and the number of the play's last one when it knows that."""

    batch: Batch
    adjoins: bool  # nothing lies between that event and the stream's beginning
    last: int | None


class EventReader:
    """Reads the events of one attempt from wherever they are: stored file, segments, stream."""

    def __init__(self, client: "redis.asyncio.Redis", store: ObjectStore, job_id: str, attempt: int) -> None:
        self._redis, self._store = client, store
        self._job_id, self._attempt = job_id, attempt
        self._stream = keys.stream(job_id, attempt)

    async def history(self, after: int = 0, *, ended: bool = False) -> AsyncIterator[Event]:
        """The events of `batches`, one by one."""
        async for batch in self.batches(after, ended=ended):
            for line in batch.lines:
                yield Event.from_json(line)

    async def batches(self, after: int = 0, *, ended: bool = False) -> AsyncIterator[Batch]:
        """Events after `after` that are there now, in order and without gaps. Unavailable: Redis or the store is away.

        Once the play has ended, what the stream lacks of its end may lie in the store.
        """
        while True:
            hot, found = await self._hot(after), False
            if hot.batch.lines:
                found, after = True, hot.batch.last
                yield hot.batch
            elif (ended or not hot.adjoins) and after != hot.last:
                async for batch in self._stored(after):
                    found, after = True, batch.last
                    yield batch
            if not found:
                return

    async def follow(self, after: int = 0) -> AsyncIterator[Batch | None]:
        """Events after `after`, for ever; None whenever it is time to look whether the job has ended."""
        woken = False
        while True:
            found = False
            async for batch in self.batches(after):
                found, after = True, batch.last
                yield batch
            yield None
            if woken and not found:  # by what cannot be told now: a stream that has lost its beginning
                await asyncio.sleep(BLOCK_MS / 1000)
            woken = await self._wait(after)

    async def segments(self) -> list[keys.Segment]:
        """Those that tell the events from the first one on."""
        names = self._store.keys(keys.segments(self._job_id, self._attempt))
        return keys.chain([name async for name in names])

    async def entry(self, seq: int, *, newest: bool = False) -> Place | None:
        """Where the first event of the stream from `seq` on ends, or the newest one."""
        try:
            read = self._redis.xrevrange if newest else self._redis.xrange
            entries = await read(self._stream, min=f"{seq}-0", count=2)  # one of them may be the end mark
        except redis.RedisError as error:
            raise _away(error) from error
        for number, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", entries):
            if keys.PLACE_FIELD in fields:
                text, ndjson = map(int, fields[keys.PLACE_FIELD].split())
                return Place(_seq(number), text, ndjson)
        return None

    async def _wait(self, after: int) -> bool:
        """True when there may be more, or the end mark (`last seq`-1) is there; False after a second without."""
        try:
            return bool(await self._redis.xread({self._stream: f"{after}-0"}, block=BLOCK_MS, count=1))
        except redis.RedisError as error:
            raise _away(error) from error

    async def _hot(self, after: int) -> _Hot:
        """A page of the stream. It keeps its last event when others move away: one that holds `after` or the event
        behind it is whole from there on, up to a gap that a Redis which came back with old data may have."""
        try:
            entries = await self._redis.xrange(self._stream, min=f"{after}-0", count=PAGE)
        except redis.RedisError as error:
            raise _away(error) from error
        lines, last, adjoins = list[bytes](), None, False
        for number, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", entries):
            seq = _seq(number)
            if keys.EVENT_FIELD not in fields:
                last = seq
                continue
            adjoins = adjoins or seq <= after + 1
            if seq == after + len(lines) + 1:
                lines.append(fields[keys.EVENT_FIELD])
            elif seq > after:
                return _Hot(Batch(after + 1, lines), adjoins=bool(lines), last=None)
        return _Hot(Batch(after + 1, lines), adjoins, last)

    async def _stored(self, after: int) -> AsyncIterator[Batch]:
        place, found = (self._job_id, self._attempt), False
        whole, partial = keys.events_object(*place), keys.events_object(*place, whole=False)
        try:
            async for batch in self._file(whole, after):
                yield batch
            return
        except NotFound:
            pass
        try:
            for part in await self.segments():
                if part.end.seq > after:
                    async for batch in self._lines(keys.segment(*place, part), part.start.seq, after):
                        found, after = True, batch.last
                        yield batch
        except NotFound:  # they go once the whole file is there
            async for batch in self._file(whole, after):
                yield batch
            return
        if not found:
            with contextlib.suppress(NotFound):
                async for batch in self._file(partial, after):
                    yield batch

    async def _file(self, name: str, after: int) -> AsyncIterator[Batch]:
        """A file of all events, read from shortly before the wanted ones: halving finds the place, for lines tell their
        `seq`."""
        low, before = 0, 0
        high = await self._store.size(name) if after else 0
        while high - low > NEAR:
            middle = (low + high) // 2
            found = await self._line_behind(name, middle, high)
            if found is None or found[1] > after + 1:
                high = middle
            else:
                low, before = found[0], found[1] - 1
        async for batch in self._lines(name, before, after, low):
            yield batch

    async def _line_behind(self, name: str, position: int, limit: int) -> tuple[int, int] | None:
        """The first line that begins behind a position: its offset and `seq`; None: none does before the limit."""
        data = b""
        while position + len(data) < limit:
            start = position + len(data)
            async for chunk in self._store.get(name, start, start + PROBE):
                data += chunk
            begin = data.find(b"\n") + 1
            if begin and (match := _SEQ.match(data, begin)) and match.end() < len(data):
                return position + begin, int(match[1])
            if position + len(data) == start:
                return None
        return None

    async def _lines(self, name: str, before: int, after: int, start: int | None = None) -> AsyncIterator[Batch]:
        """The events after `after` of an object, or of its part from `start` on, whose first line is `before` + 1."""
        rest = b""
        async for chunk in self._store.get(name, start):
            *lines, rest = (rest + chunk).split(b"\n")
            first, before = before + 1, before + len(lines)
            if before > after:
                skipped = max(after + 1 - first, 0)
                yield Batch(first + skipped, lines[skipped:])


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


def _seq(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])


def _away(error: Exception) -> Unavailable:
    return Unavailable(
        f"live events are away ({type(error).__name__}); try again shortly", headers={"Retry-After": "5"}
    )
