"""What came of a play lies on the worker's disk before it is written to the database, and is written from there when
the process that ran the play cannot do it any more.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy.orm import Session

from ansible_api import unfinished
from ansible_api.db import Database
from ansible_api.errors import LeaseLost, Unavailable
from ansible_api.events.summary import Counts
from ansible_api.execution.verdict import Outcome
from ansible_api.jobs import attempts, store
from ansible_api.jobs.state import Status
from ansible_api.jobs.store import Fence
from ansible_api.logs import get_logger

FOLDER = "results"
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended, with the columns and the recap of its job that were not written yet."""

    fence: Fence
    outcome: Outcome
    values: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, Counts] = field(default_factory=dict)
    ended_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def log_fields(self) -> dict[str, Any]:
        """What a log line says of it."""
        return {"job_id": self.fence.job_id, "attempt": self.fence.attempt, "status": self.outcome.status}

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        document = json.loads(text)
        outcome = document["outcome"] | {"status": Status(document["outcome"]["status"])}
        return cls(**document | {"fence": Fence(**document["fence"]), "outcome": Outcome(**outcome)})

    def write(self, session: Session) -> bool:
        """End the job, fenced; False or LeaseLost: it was no longer this attempt's."""
        if self.hosts:
            store.save_hosts(session, self.fence, self.hosts)
        end = {
            "return_code": self.outcome.return_code,
            "error_code": self.outcome.error_code,
            "error_message": self.outcome.message,
        }
        return store.finish(session, self.fence, self.outcome.status, **{**self.values, **end})

    def write_late(self, session: Session) -> bool:
        """Keep it beside the job, which was given up meanwhile; False: it was not."""
        outcome = self.outcome
        error = {"code": outcome.error_code, "message": outcome.message or ""} if outcome.error_code else None
        late = {
            "status": outcome.status,
            "return_code": outcome.return_code,
            "error": error,
            "ended_at": self.ended_at,
        }
        return attempts.note_late(session, self.fence.job_id, self.fence.attempt, self.fence.owner, late)


class Kept:
    """A result on disk, held by this process until it is in the database."""

    def __init__(self, folder: Path, result: Result) -> None:
        """OSError: the disk does not take it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = _path(folder, result.fence.job_id, result.fence.attempt)
        partial = self._path.with_suffix(".unfinished")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = os.fdopen(os.open(partial, flags, 0o600), "wb", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            with os.fdopen(os.dup(self._file.fileno()), "w", encoding="utf-8") as file:
                file.write(result.to_json())
            os.fsync(self._file)
            partial.replace(self._path)
            unfinished.sync_directory(folder)
        except BaseException:
            self._file.close()
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    def drop(self) -> None:
        """It is in the database."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def leave(self) -> None:
        """Let upkeep write it, if it was not dropped."""
        self._file.close()


def replay(folder: Path, db: Database, ended: Callable[[Result], None]) -> None:
    """Write the results whose processes are gone; `ended` hears of each that has ended its job.

    One that cannot be written keeps no other waiting. Unavailable, in the end: some are left for the next time.
    """
    unfinished.sweep(folder.glob("*.unfinished"))
    away: Unavailable | None = None
    for path in sorted(folder.glob("*.json")):
        try:
            with _unheld(path) as text:
                if text is None:
                    continue
                result = Result.from_json(text)
                if record(db, result):
                    log.warning("a result was written late", **result.log_fields)
                    ended(result)
                path.unlink(missing_ok=True)
        except Unavailable as error:
            away = error
        except Exception:  # whatever is wrong with it, the next time would be no better
            log.exception("a result cannot be read or written", path=path.name)
            path.replace(path.with_suffix(".unreadable"))
    if away is not None:
        raise away


def lies_in(folder: Path, job_id: str, attempt: int) -> bool:
    """Whether a result of this attempt waits to be written."""
    return _path(folder, job_id, attempt).exists()


def record(db: Database, result: Result) -> bool:
    """Write a result; True when it has ended its job, which another attempt or upkeep may have done before."""
    try:
        if _write(db, result):
            return True
    except LeaseLost:
        pass
    if db.write(lambda session: result.write_late(session)):
        log.warning("a result came late", **result.log_fields)
    return False


def _write(db: Database, result: Result) -> bool:
    try:
        return db.write(lambda session: result.write(session))
    except (LeaseLost, Unavailable):
        raise
    except Exception:  # how the job ended matters more than what it did on the way
        log.exception("progress could not be written", job_id=result.fence.job_id)
        least = replace(
            result, values={key: result.values[key] for key in ("events",) if key in result.values}, hosts={}
        )
        return db.write(lambda session: least.write(session))


def _path(folder: Path, job_id: str, attempt: int) -> Path:
    return folder / f"{job_id}.{attempt}.json"


@contextmanager
def _unheld(path: Path) -> Iterator[str | None]:
    """The text of a result that no process holds, held meanwhile; None: it is somebody's, or has gone."""
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file.read() if path.exists() else None
