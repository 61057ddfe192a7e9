"""The worker's side of live events: a spool on disk, a thread that publishes it, segments when there is much.

The play only ever appends to the spool. A slow or dead Redis delays readers, never the play, and loses nothing: what
the stream does not hold at the end goes to the object store, now or when the spool is rescued.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import cast

import redis

from ansible_api.errors import AnsibleApiError
from ansible_api.events import keys
from ansible_api.events.spool import Line, SpoolReader, SpoolWriter
from ansible_api.events.types import Event, Place
from ansible_api.logs import get_logger

PutObject = Callable[[str, bytes], object]

BATCH_BYTES = 512 * 1024
LIVING_TTL = 7 * 86400  # of a stream whose worker is at work
HINT_TTL = 60
RETRY_PAUSE = 0.5
DRAIN_LIMIT = 5.0  # seconds after the end of the play in which Redis may take the rest
STORE_LIMIT = 20.0  # and then the object store; what neither took is rescued from the spool
log = get_logger(__name__)


class Publisher:
    """Publishes the events of one attempt; use as a context manager around the play."""

    def __init__(
        self, client: "redis.Redis", put: PutObject, *, job_id: str, attempt: int, spool: Path, hot_limit: int
    ) -> None:
        self._redis, self._put = client, put
        self._job_id, self._attempt, self._hot_limit = job_id, attempt, hot_limit
        self._stream = keys.stream(job_id, attempt)
        self._writer, self._reader = SpoolWriter(spool), SpoolReader.open(spool)
        self._wake = threading.Event()
        self._closing = threading.Event()
        # Its log lines speak of the job, too.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name=f"events {job_id}", daemon=True
        )
        self._pending: list[Line] = []
        self._sent = Place()  # events in the stream or in segments
        self._stored = Place()  # events in segments
        self._hot: list[bytes] = []  # events in the stream only
        self._hot_bytes = 0
        self._deadline = float("inf")  # for what Redis may still take

    def __enter__(self) -> "Publisher":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def append(self, event: Event) -> None:
        """Spool an event; returns at once. JobError when the disk does not take it."""
        self._writer.append(event)
        self._wake.set()

    def close(self) -> None:
        """Publish what is left, for as long as Redis takes it; then store what the stream does not hold."""
        if self._closing.is_set():
            return
        self._deadline = time.monotonic() + DRAIN_LIMIT
        self._closing.set()
        self._wake.set()
        self._thread.join()  # each of its steps has a time limit
        self._store_what_the_stream_lacks()
        self._writer.close()
        self._reader.close()

    def _run(self) -> None:
        while not self._late:
            self._wake.wait()
            self._wake.clear()
            drained = self._drain()
            if not self._closing.is_set():
                if not drained and not self._closing.wait(RETRY_PAUSE):
                    self._wake.set()
            elif drained and self._drained():
                return
            else:
                time.sleep(0.05)
                self._wake.set()

    @property
    def _late(self) -> bool:
        return time.monotonic() > self._deadline

    @property
    def behind(self) -> int:
        """Bytes that are spooled and not read yet."""
        return self._writer.size - self._reader.position

    def _drained(self) -> bool:
        return not self._pending and not self.behind

    def _drain(self) -> bool:
        """Publish all that is spooled; False: Redis or the object store is away, or it is late."""
        while not self._late:
            self._pending = self._pending or self._reader.read(BATCH_BYTES)
            if not self._pending:
                return True
            if self._hot_bytes >= self._hot_limit and not self._move_to_segment():
                return False
            if not self._publish(self._pending):
                return False
            self._pending = []
        return False

    def _publish(self, lines: Sequence[Line]) -> bool:
        pipe, place = self._redis.pipeline(transaction=False), self._sent
        for line in lines:
            place = place.after(line.event, line.text_size)
            fields = {keys.EVENT_FIELD: line.event, keys.PLACE_FIELD: b"%d %d" % place[1:]}
            pipe.xadd(self._stream, fields, id=f"{place.seq}-0")  # type: ignore[arg-type]
        pipe.expire(self._stream, LIVING_TTL)
        pipe.xlen(self._stream)
        try:
            *answers, _, length = pipe.execute(raise_on_error=False)
        except redis.RedisError as error:
            log.warning("events wait for redis", job_id=self._job_id, error=type(error).__name__)
            return False
        for answer in answers:
            # An id that is there already was sent before the connection broke.
            if isinstance(answer, Exception) and "equal or smaller" not in str(answer):
                log.warning("events wait for redis", job_id=self._job_id, error=str(answer))
                return False
        self._sent = place
        self._hot.extend(line.event for line in lines)
        self._hot_bytes += sum(len(line.event) for line in lines)
        if isinstance(length, int) and length < len(self._hot):
            log.warning("redis has lost events; the object store gets them", job_id=self._job_id)
            self._move_to_segment()
        return True

    def _move_to_segment(self) -> bool:
        """Move what is hot to the object store; the stream keeps the last event, so that it never looks empty."""
        if not self._store(self._hot, self._sent):
            return False
        with contextlib.suppress(redis.RedisError):
            self._redis.xtrim(self._stream, minid=f"{self._sent.seq}-0", approximate=False)
        self._hot, self._hot_bytes = [], 0
        return True

    def _store(self, events: Sequence[bytes], end: Place) -> bool:
        name = keys.segment(self._job_id, self._attempt, keys.Segment(self._stored, end))
        try:
            self._put(name, b"".join(b"%b\n" % event for event in events))
        except AnsibleApiError as error:
            log.warning("events wait for the object store", job_id=self._job_id, error=error.detail)
            return False
        self._stored = end
        return True

    def _store_what_the_stream_lacks(self) -> None:
        if self._drained() and self._in_stream() >= len(self._hot):
            return
        deadline = time.monotonic() + STORE_LIMIT
        events, end = list(self._hot), self._sent
        while time.monotonic() < deadline:
            for line in self._pending or self._reader.read(self._hot_limit):
                events.append(line.event)
                end = end.after(line.event, line.text_size)
            self._pending = []
            if not events or not self._store(events, end):
                return
            log.info("events went to the object store", job_id=self._job_id, events=len(events))
            events = []

    def _in_stream(self) -> int:
        """How many events beyond the segments the stream holds."""
        try:
            first = f"{self._stored.seq + 1}-0"
            return len(cast("list[object]", self._redis.xrange(self._stream, min=first)))
        except redis.RedisError:
            return 0


def mark_end(client: "redis.Redis", job_id: str, attempt: int, last_seq: int) -> None:
    """Wake the readers of a stream, and those who wait: the job has ended. Only a hint; all of them look at the row."""
    pipe = client.pipeline(transaction=False)
    pipe.xadd(keys.stream(job_id, attempt), {keys.END_FIELD: b"1"}, id=f"{last_seq}-1")
    pipe.expire(keys.stream(job_id, attempt), LIVING_TTL)  # the mark may be all that a Redis that lost its data has
    pipe.xadd(keys.ended(job_id), {keys.END_FIELD: b"1"})
    pipe.expire(keys.ended(job_id), HINT_TTL)
    with contextlib.suppress(redis.RedisError):
        pipe.execute(raise_on_error=False)


def expire(client: "redis.Redis", job_id: str, attempt: int, ttl: int) -> None:
    """Let a stream go, now that its events are stored."""
    with contextlib.suppress(redis.RedisError):
        client.expire(keys.stream(job_id, attempt), ttl)
