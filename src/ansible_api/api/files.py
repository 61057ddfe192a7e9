"""Stored files as answers: a link to them, all their bytes, or the part that a Range header asks for."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from starlette.responses import RedirectResponse, Response, StreamingResponse

from ansible_api.api.deps import Parts
from ansible_api.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the object store, and the name under which it is downloaded."""

    key: str
    size: int
    sha256: str
    filename: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a file a request asks for: its Range header, and the If-Range that this depends on."""

    range: str | None
    if_range: str | None

    def of(self, etag: str | None) -> str | None:
        """The Range header, unless it was for another file than that (RFC 9110, 13.1.5); no ETag of ours is weak."""
        return self.range if self.if_range in (None, etag) else None


def _wanted(
    range: Annotated[str | None, Header()] = None,  # noqa: A002 - the header's name
    if_range: Annotated[str | None, Header(description="the `ETag` of what you have; no other gives a part")] = None,
) -> Wanted:
    return Wanted(range, if_range)


WantedPart = Annotated[Wanted, Depends(_wanted)]


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes `[start:end]` of a file."""

    start: int
    end: int


async def file_answer(service: Parts, file: StoredFile, wanted: Wanted) -> Response:
    """A redirect where the store has links, else the bytes that are wanted."""
    if url := await service.objects.presign(file.key, service.settings.presign_ttl, file.filename):
        return RedirectResponse(url, headers={"Cache-Control": "no-store"})
    etag = f'"{file.sha256}"'
    part = part_of(wanted.of(etag), file.size)
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    start, end = (part.start, part.end) if part else (0, file.size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    pieces = await primed(service.objects.get(file.key, start, end))
    return StreamingResponse(pieces, 206 if part else 200, headers, file.media_type)


async def primed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, the first already read: what fails there still becomes an answer."""
    first = await anext(pieces, b"")

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_pieces()


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
        raise RangeNotSatisfiable(f"it has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return Part(start, end)
