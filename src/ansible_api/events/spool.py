"""The spool of an attempt: its events on the worker's disk, from the first one on, until its log is stored whole.

Each line is the event's size in the text log, a space, and the event. Whoever plays or rescues holds a lock on the
file, which the kernel lets go with the process. Nothing is synced: a process that is killed loses no event, a machine
that loses power may lose the last ones. So the name tells in which boot of the machine the spool was written.
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
from ansible_api.processes import boot_id


@dataclass(frozen=True, slots=True)
class Line:
    """An event as the spool has it."""

    text_size: int
    event: bytes


def path_of(folder: Path, job_id: str, attempt: int) -> Path:
    """Where an attempt that begins now has its spool."""
    return folder / f"{job_id}.{attempt}.{boot_id()}.ndjson"


def attempt_of(path: Path) -> tuple[str, int] | None:
    """Job and attempt that a spool is of; None: it is no spool."""
    job_id, _, rest = path.name.partition(".")
    attempt = rest.partition(".")[0]
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
    """Reads lines from the beginning up to the first that is not whole: it is being written, or was lost."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._damaged = False

    @classmethod
    def open(cls, path: Path) -> Self:
        return cls(path.open("rb"))

    @property
    def position(self) -> int:
        return self._file.tell()

    @property
    def lost_nothing(self) -> bool:
        """Whether all that was ever appended is there, as far as it was read."""
        return not self._damaged and Path(self._file.name).name.endswith(f".{boot_id()}.ndjson")

    def read(self, size: int) -> list[Line]:
        """The next lines, of some `size` bytes together."""
        raw = self._file.readlines(size)
        lines = list[Line]()
        for line in map(_line, raw):
            if line is None:
                break
            lines.append(line)
        rest = raw[len(lines) :]
        if rest:
            self._damaged = rest[0].endswith(b"\n")
            self._file.seek(-sum(map(len, rest)), os.SEEK_CUR)
        return lines

    def close(self) -> None:
        self._file.close()


def _line(raw: bytes) -> Line | None:
    """None: it is not whole. A reset of the machine can leave zero bytes where data had not reached the disk."""
    text_size, _, event = raw.partition(b" ")
    whole = text_size.isdigit() and event.startswith(b"{") and event.endswith(b"}\n") and b"\0" not in event
    return Line(int(text_size), event[:-1]) if whole else None


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
