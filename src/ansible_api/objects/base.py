"""What every object store does, which keys it takes, and how it reads what it is given."""

import hashlib
import io
import unicodedata
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ansible_api.errors import InvalidRequest

BLOCK = 256 * 1024  # what `get` yields at a time
LONGEST_KEY = 1024  # bytes, by S3
LONGEST_PART = 255  # bytes between slashes, by Linux file systems

Source: TypeAlias = bytes | Path | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written."""

    size: int
    sha256: str


class ObjectStore(Protocol):
    """Objects by key. Every method raises InvalidRequest for a bad key and Unavailable when the storage is away."""

    async def put(self, key: str, source: Source) -> Stored:
        """Write an object whole or not at all; one that is there already is replaced at once."""

    def get(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of an object, or those of `[start:end]`; NotFound comes with the first one."""

    async def size(self, key: str) -> int:
        """The length in bytes; NotFound when there is no such object."""

    async def delete(self, key: str) -> None:
        """Remove an object; one that is absent is no error."""

    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys that begin with the prefix, in order."""

    async def presign(self, key: str, expires: int, filename: str) -> str | None:
        """A URL that downloads the object under that name for `expires` seconds; None where there is no such thing."""

    async def check(self, limit: float = 2.0) -> None:
        """Unavailable unless the storage takes requests within `limit` seconds."""


def checked_key(key: str) -> str:
    """The key, if it means the same to every store and nothing outside of one."""
    parts = key.split("/")
    if (
        len(_encoded(key)) > LONGEST_KEY
        or any(part in {"", ".", ".."} or len(_encoded(part)) > LONGEST_PART for part in parts)
        or any(character == "\\" or unicodedata.category(character) in {"Cc", "Cs"} for character in key)
        or key.startswith(".")  # a store's own files
    ):
        raise InvalidRequest(f"not a key of an object: {key[:100]!r}")
    return key


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Reader:
    """Reads a source once, in blocks, and knows afterwards what it was. Blocking: call it in a thread."""

    def __init__(self, raw: io.BufferedIOBase) -> None:
        self._raw = raw
        self._size = 0
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, fewer only at the end."""
        block = self._raw.read(size)
        self._size += len(block)
        self._digest.update(block)
        return block

    @property
    def size(self) -> int:
        """Bytes read so far."""
        return self._size

    def stored(self) -> Stored:
        """What was read so far."""
        return Stored(self._size, self._digest.hexdigest())


@contextmanager
def reading(source: Source) -> Iterator[Reader]:
    """A reader; OSError when the source is a path that cannot be opened."""
    if isinstance(source, Path):
        raw: io.BufferedIOBase = source.open("rb")
    elif isinstance(source, bytes):
        raw = io.BytesIO(source)
    else:
        raw = io.BufferedReader(_Joined(source), BLOCK)
    with raw:
        yield Reader(raw)


class _Joined(io.RawIOBase):
    """The pieces of an iterable as one file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)
