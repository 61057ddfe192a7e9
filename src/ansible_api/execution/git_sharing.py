"""One answer for all jobs that wait for it: many jobs at once ask a server once, and none gets a stale answer.

An answer serves every job that had begun to wait before it was asked for. It stands in a small file whose lock its
asker holds; a lock ends with its process, so a killed asker only means that the next job asks. There is a fixed number
of files, and jobs that meet in one with different questions do not wait for each other.
"""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_api.execution.git_login import digest
from ansible_api.processes import boot_id, boot_time

BYTES = 65536  # more than any answer has


@dataclass(frozen=True, slots=True)
class _Note:
    """What the file says: who asks what since when (seconds since the machine started), and the answer if there is."""

    question: str
    asked: float
    answer: str | None


def shared(directory: Path, question: str, ask: Callable[[], str], wait: Callable[[], None]) -> str:
    """What `ask` answers, or another job's answer that was asked for after this call began.

    `question` is a digest of all that the answer depends on; `wait` pauses, or raises to give up. What `ask` raises is
    its caller's alone: the next one asks again.
    """
    question, began = digest(question, boot_id()), boot_time()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(directory / question[:2], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            free = _lock(file)
            note = _read(file)
            same = note is not None and note.question == question
            if note and same and note.asked >= began and note.answer is not None:
                return note.answer
            if free:
                return _ask(file, question, ask)
            if note and not same:
                return ask()
            wait()
    finally:
        os.close(file)


def _ask(file: int, question: str, ask: Callable[[], str]) -> str:
    asked = boot_time()
    _write(file, _Note(question, asked, None))
    answer = ask()
    _write(file, _Note(question, asked, answer))
    return answer


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> _Note | None:
    """The note; None when there is none, or it is being written."""
    try:
        question, asked, answer = json.loads(os.pread(file, BYTES, 0))
    except (ValueError, TypeError):
        return None
    return _Note(question, asked, answer)


def _write(file: int, note: _Note) -> None:
    text = json.dumps([note.question, note.asked, note.answer]).encode()
    os.ftruncate(file, 0)  # first, so that no reader without the lock sees the old answer under the new time
    os.pwrite(file, text, 0)
