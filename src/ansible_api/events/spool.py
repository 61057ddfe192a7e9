"""The spool of an attempt: its events on the worker's disk, from the first one on, until its log is stored whole.

Each line is the event's size in the text log, a space, and the event. Whoever plays or rescues holds a lock on the
file, which the kernel lets go with the process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from ansible_api.errors import JobError
from ansible_api.events.types import Event


@dataclass(frozen=True, slots=True)
class Line:
    """An event as the spool has it."""

    text_size: int
    event: bytes


def path_of(folder: Path, job_id: str, attempt: int) -> Path:
    return folder / f"{job_id}.{attempt}.ndjson"


def attempt_of(path: Path) -> tuple[str, int] | None:
    """Job and attempt that a spool is of; None: it is no spool."""
    job_id, _, attempt = path.name.removesuffix(".ndjson").rpartition(".")
    return (job_id, int(attempt)) if job_id and attempt.isdecimal() else None


class SpoolWriter:
    """Appends events; holds the lock until it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def append(self, event: Event) -> None:
        """JobError when the disk does not take it; nothing of it is left there then."""
        rest = memoryview(b"%d %b\n" % (event.text_size(), event.to_line()))
        size = self.size
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            os.ftruncate(self._file, size)
            raise JobError("spool_failed", f"the worker cannot keep the play's events: {error.strerror}") from error

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def close(self) -> None:
        os.close(self._file)


class SpoolReader:
    """Reads whole lines from the beginning; the last one may be in the middle of being written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path) -> Self:
        return cls(path.open("rb"))

    @property
    def position(self) -> int:
        return self._file.tell()

    def read(self, size: int) -> list[Line]:
        """The next lines, of some `size` bytes together."""
        lines = self._file.readlines(size)
        if lines and not lines[-1].endswith(b"\n"):
            self._file.seek(-len(lines.pop()), os.SEEK_CUR)
        return [_line(line) for line in lines]

    def close(self) -> None:
        self._file.close()


def _line(raw: bytes) -> Line:
    text_size, _, event = raw.partition(b" ")
    return Line(int(text_size), event[:-1])


@contextmanager
def unheld(path: Path) -> Iterator[SpoolReader | None]:
    """The lock on a spool, and its reader; None while somebody else has it, or it has gone."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield SpoolReader(file) if os.fstat(file.fileno()).st_nlink else None
        return
    yield None
