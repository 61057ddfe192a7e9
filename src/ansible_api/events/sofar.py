"""The log of an attempt as far as it goes, by bytes: its size and any part of it, without reading the rest."""

from collections.abc import AsyncIterator
from enum import StrEnum

from ansible_api.events.keys import Segment
from ansible_api.events.subscribe import Batch, EventReader
from ansible_api.events.types import Place, text_of


class Form(StrEnum):
    """How the log comes: as Ansible printed it, or its events, one JSON document a line."""

    TEXT = "text"
    NDJSON = "ndjson"

    def size(self, place: Place) -> int:
        """Bytes up to there."""
        return place.text if self is Form.TEXT else place.ndjson

    def bytes_of(self, line: bytes) -> bytes:
        """What an event's line adds."""
        return text_of(line) if self is Form.TEXT else line + b"\n"

    def bytes_of_all(self, batch: Batch) -> bytes:
        return b"".join(map(self.bytes_of, batch.lines))


class LogSoFar:
    """What was there at one moment; `end` says up to which place."""

    def __init__(self, reader: EventReader, form: Form, segments: list[Segment], end: Place) -> None:
        self._reader, self._form, self._segments, self.end = reader, form, segments, end

    @classmethod
    async def look(cls, reader: EventReader, form: Form, *, ended: bool) -> "LogSoFar":
        """Unavailable as the reader's methods."""
        first = await reader.entry(0)
        newest = await reader.entry(0, newest=True)
        segments = await reader.segments() if ended or first is None or first.seq > 1 else []
        end = segments[-1].end if segments else Place()
        if first is not None and newest is not None and first.seq <= end.seq + 1:
            end = max(end, newest)
        return cls(reader, form, segments, end)

    @property
    def size(self) -> int:
        return self._form.size(self.end)

    async def part(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes `[start:end]`, which must be there."""
        place = await self._before(start)
        at = self._form.size(place)
        async for batch in self._reader.batches(place.seq, ended=True):
            piece = self._form.bytes_of_all(batch)
            if at + len(piece) > start:
                yield piece[max(start - at, 0) : end - at]
            at += len(piece)
            if at >= end:
                return

    async def _before(self, offset: int) -> Place:
        """An event's end at or before the offset, near it."""
        for segment in self._segments:
            if self._form.size(segment.start) <= offset < self._form.size(segment.end):
                return segment.start
        low = self._segments[-1].end if self._segments else Place()
        high = self.end.seq
        while low.seq < high:
            middle = (low.seq + high + 1) // 2
            found = await self._reader.entry(middle)
            if found is None or self._form.size(found) > offset:
                high = middle - 1
            else:
                low = found
        return low
