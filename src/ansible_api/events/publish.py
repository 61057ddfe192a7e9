"""The worker's side of live events: a spool on disk, a thread that publishes it, segments when there is much.

The play only ever appends to the spool. A slow or dead Redis delays readers, never the play, and loses nothing: what
the stream does not hold at the end goes to the object store from the spool.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import redis

from ansible_api.errors import AnsibleApiError, JobError
from ansible_api.events import keys
from ansible_api.events.types import Event
from ansible_api.logs import get_logger

PutObject = Callable[[str, bytes], object]

BATCH_BYTES = 512 * 1024
LIVING_TTL = 7 * 86400  # of a stream whose worker is at work
HINT_TTL = 60
RETRY_PAUSE = 0.5
log = get_logger(__name__)


class Publisher:
    """Publishes the events of one attempt; use as a context manager around the play."""

    def __init__(
        self, client: "redis.Redis", put: PutObject, *, job_id: str, attempt: int, spool: Path, hot_limit: int
    ) -> None:
        self._redis, self._put = client, put
        self._job_id, self._attempt, self._hot_limit = job_id, attempt, hot_limit
        self._stream = keys.stream(job_id, attempt)
        self._writer = os.open(spool, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._reader = spool.open("rb")
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"events {job_id}", daemon=True)
        self._pending: list[bytes] = []
        self._sent = 0  # events in the stream or in segments
        self._stored = 0  # events in segments
        self._hot: list[bytes] = []  # events in the stream only
        self._hot_bytes = 0

    def __enter__(self) -> "Publisher":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def append(self, event: Event) -> None:
        """Spool an event; returns at once. JobError when the disk does not take it."""
        line = memoryview(event.to_json().encode() + b"\n")
        size = os.fstat(self._writer).st_size
        try:
            while line:
                line = line[os.write(self._writer, line) :]
        except OSError as error:
            os.ftruncate(self._writer, size)
            raise JobError("spool_failed", f"the worker cannot keep the play's events: {error.strerror}") from error
        self._wake.set()

    def close(self) -> None:
        """Publish what is left, for as long as Redis takes it; then store what the stream does not hold."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._thread.join()  # each of its steps has a time limit
        self._store_what_the_stream_lacks()
        os.close(self._writer)
        self._reader.close()

    def _run(self) -> None:
        deadline = float("inf")
        while time.monotonic() < deadline:
            self._wake.wait()
            self._wake.clear()
            if self._closing.is_set():
                deadline = min(deadline, time.monotonic() + 5.0)
            if not self._drain() and not self._closing.wait(RETRY_PAUSE):
                self._wake.set()
            elif self._closing.is_set() and self._drained():
                return
            elif self._closing.is_set():
                time.sleep(0.05)
                self._wake.set()

    def _drained(self) -> bool:
        return not self._pending and os.fstat(self._writer).st_size == self._reader.tell()

    def _drain(self) -> bool:
        """Publish all that is spooled; False: Redis or the object store is away."""
        while True:
            if not self._pending:
                self._pending = self._read(BATCH_BYTES)
            if not self._pending:
                return True
            if self._hot_bytes >= self._hot_limit and not self._move_to_segment():
                return False
            if not self._publish(self._pending):
                return False
            self._pending = []

    def _read(self, size: int) -> list[bytes]:
        """Whole lines: the last one may be in the middle of being written."""
        lines = self._reader.readlines(size)
        if lines and not lines[-1].endswith(b"\n"):
            self._reader.seek(-len(lines.pop()), os.SEEK_CUR)
        return lines

    def _publish(self, lines: list[bytes]) -> bool:
        pipe = self._redis.pipeline(transaction=False)
        for number, line in enumerate(lines, start=self._sent + 1):
            pipe.xadd(self._stream, {keys.EVENT_FIELD: line.rstrip(b"\n")}, id=f"{number}-0")
        pipe.expire(self._stream, LIVING_TTL)
        try:
            answers = pipe.execute(raise_on_error=False)
        except redis.RedisError as error:
            log.warning("events wait for redis", job_id=self._job_id, error=type(error).__name__)
            return False
        for answer in answers:
            # An id that is there already was sent before the connection broke.
            if isinstance(answer, Exception) and "equal or smaller" not in str(answer):
                log.warning("events wait for redis", job_id=self._job_id, error=str(answer))
                return False
        self._sent += len(lines)
        self._hot.extend(lines)
        self._hot_bytes += sum(map(len, lines))
        return True

    def _move_to_segment(self) -> bool:
        """Move what is hot to the object store; the stream keeps the last event, so that it never looks empty."""
        if not self._store(self._hot):
            return False
        with contextlib.suppress(redis.RedisError):
            self._redis.xtrim(self._stream, minid=f"{self._sent}-0", approximate=False)
        self._hot, self._hot_bytes = [], 0
        return True

    def _store(self, lines: list[bytes]) -> bool:
        try:
            self._put(keys.segment(self._job_id, self._attempt, self._stored + 1), b"".join(lines))
        except AnsibleApiError as error:
            log.warning("events wait for the object store", job_id=self._job_id, error=error.detail)
            return False
        self._stored += len(lines)
        return True

    def _store_what_the_stream_lacks(self) -> None:
        if self._drained() and self._in_stream() >= len(self._hot):
            return
        lines = [*self._hot, *self._pending]
        while (lines := lines or self._read(self._hot_limit)) and self._store(lines):
            log.info("events went to the object store", job_id=self._job_id, events=len(lines))
            lines = []

    def _in_stream(self) -> int:
        """How many events beyond the segments the stream holds."""
        try:
            first = f"{self._stored + 1}-0"
            return len(cast("list[object]", self._redis.xrange(self._stream, min=first)))
        except redis.RedisError:
            return 0


def mark_end(client: "redis.Redis", job_id: str, attempt: int, last_seq: int) -> None:
    """Wake the readers of a stream, and those who wait: the job has ended. Only a hint; all of them look at the row."""
    pipe = client.pipeline(transaction=False)
    pipe.xadd(keys.stream(job_id, attempt), {keys.END_FIELD: b"1"}, id=f"{last_seq}-1")
    pipe.xadd(keys.ended(job_id), {keys.END_FIELD: b"1"})
    pipe.expire(keys.ended(job_id), HINT_TTL)
    with contextlib.suppress(redis.RedisError):
        pipe.execute(raise_on_error=False)


def expire(client: "redis.Redis", job_id: str, attempt: int, ttl: int) -> None:
    """Let a stream go, now that its events are stored."""
    with contextlib.suppress(redis.RedisError):
        client.expire(keys.stream(job_id, attempt), ttl)
