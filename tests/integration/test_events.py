"""Live events from the worker's spool to readers: in order, without gaps, whatever becomes of Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from ansible_api import redis
from ansible_api.errors import Unavailable
from ansible_api.events import keys, subscribe
from ansible_api.events.publish import Publisher, expire, mark_end
from ansible_api.events.subscribe import Batch, EventReader
from ansible_api.events.types import Event
from ansible_api.objects.directory import DirectoryStore
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.anyio

JOB, ATTEMPT = "job-1", 1
STREAM = keys.stream(JOB, ATTEMPT)


def event(seq: int) -> Event:
    return Event(seq, "2026-01-01T00:00:00Z", "runner_on_ok", f"line {seq} " + "x" * 100, host="web1")


@pytest.fixture
def objects(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "objects")


@pytest.fixture
def publish(
    redis_under_test: RedisServer, objects: DirectoryStore, tmp_path: Path
) -> Iterator[Callable[..., Publisher]]:
    """A publisher on the Redis under test, with a spool of its own."""
    clients = []
    thread = ThreadPoolExecutor(1)  # a play closes its publisher in a thread without an event loop; a test does not

    def make(hot_limit: int = 4 * 1024 * 1024) -> Publisher:
        clients.append(redis.client(redis_under_test.url))
        return Publisher(
            clients[-1],
            lambda key, data: thread.submit(asyncio.run, objects.put(key, data)).result(),
            job_id=JOB,
            attempt=ATTEMPT,
            spool=tmp_path / f"spool{len(clients)}",
            hot_limit=hot_limit,
        )

    yield make
    thread.shutdown()
    for client in clients:
        client.close()


@pytest.fixture
async def reader(redis_under_test: RedisServer, objects: DirectoryStore) -> AsyncIterator[EventReader]:
    client = redis.async_client(redis_under_test.url)
    yield EventReader(client, objects, JOB, ATTEMPT)
    await client.aclose()


@pytest.fixture
def raw(redis_under_test: RedisServer) -> Iterator["Redis"]:
    client = redis.client(redis_under_test.url)
    yield client
    client.close()


async def seqs(reader: EventReader, after: int = 0, *, ended: bool = False) -> list[int]:
    return [event.seq async for event in reader.history(after, ended=ended)]


def up_to(last: int, first: int = 1) -> list[int]:
    return list(range(first, last + 1))


async def test_events_are_read_in_order_from_any_place(publish: Callable[..., Publisher], reader: EventReader) -> None:
    with publish() as publisher:
        for seq in up_to(1200):
            publisher.append(event(seq))
    assert await seqs(reader) == up_to(1200)
    assert await seqs(reader, after=700) == up_to(1200, first=701)
    assert await seqs(reader, after=1200) == []
    assert [read async for read in reader.history(1199)] == [event(1200)]


async def test_a_follower_sees_every_event_once_while_much_moves_to_segments(
    publish: Callable[..., Publisher], reader: EventReader, objects: DirectoryStore, raw: "Redis"
) -> None:
    total, seen = 3000, list[int]()

    async def follow() -> None:
        async for read in reader.follow():
            if read is not None:
                seen.extend(up_to(read.last, first=read.first))
                if read.last == total:
                    return

    def play() -> None:
        with publish(hot_limit=20_000) as publisher:
            for seq in up_to(total):
                publisher.append(event(seq))
                if seq % 100 == 0:  # in batches, as a play does
                    wait_for(lambda seq=seq: raw.xrevrange(STREAM, min=f"{seq}-0", count=1))

    await asyncio.wait_for(asyncio.gather(follow(), asyncio.to_thread(play)), 60)
    assert seen == up_to(total)
    assert len([key async for key in objects.keys(keys.segments(JOB, ATTEMPT))]) > 5
    assert raw.memory_usage(STREAM) < 100_000
    assert await seqs(reader) == up_to(total)
    assert await seqs(reader, after=1234) == up_to(total, first=1235)


async def test_events_survive_a_redis_that_is_killed_and_started_again(
    publish: Callable[..., Publisher], reader: EventReader, redis_under_test: RedisServer, raw: "Redis"
) -> None:
    with publish() as publisher:
        for seq in up_to(100):
            publisher.append(event(seq))
        wait_for(lambda: raw.xlen(STREAM) == 100)
        redis_under_test.process.kill()
        for seq in up_to(200, first=101):
            publisher.append(event(seq))
        redis_under_test.process.revive()
        wait_for(lambda: raw.xlen(STREAM) == 200, message="the spool was not published")
    assert await seqs(reader) == up_to(200)


async def test_what_redis_has_lost_goes_to_the_object_store_at_the_end(
    publish: Callable[..., Publisher], reader: EventReader, redis_under_test: RedisServer, raw: "Redis"
) -> None:
    with publish() as publisher:
        for seq in up_to(50):
            publisher.append(event(seq))
        wait_for(lambda: raw.xlen(STREAM) == 50)
        redis_under_test.flush()
        for seq in up_to(80, first=51):
            publisher.append(event(seq))
        wait_for(lambda: raw.xrevrange(STREAM, min="80-0", count=1))
    assert await seqs(reader) == up_to(80)
    assert await seqs(reader, after=20) == up_to(80, first=21)


async def test_events_that_never_reached_redis_go_to_the_object_store_at_the_end(
    publish: Callable[..., Publisher], reader: EventReader, redis_under_test: RedisServer
) -> None:
    publisher = publish()
    redis_under_test.process.kill()
    try:
        with publisher:
            for seq in up_to(40):
                publisher.append(event(seq))
    finally:
        redis_under_test.process.revive()
    redis_under_test.flush()
    assert await seqs(reader) == up_to(40)


async def test_the_rest_of_a_stream_that_redis_could_not_take_is_read_from_the_object_store(
    publish: Callable[..., Publisher], reader: EventReader, redis_under_test: RedisServer, raw: "Redis"
) -> None:
    try:
        with publish() as publisher:
            for seq in up_to(50):
                publisher.append(event(seq))
            wait_for(lambda: raw.xlen(STREAM) == 50)
            redis_under_test.process.kill()
            for seq in up_to(80, first=51):
                publisher.append(event(seq))
    finally:
        redis_under_test.process.revive()
    assert raw.xlen(STREAM) == 50  # it remembers what it had
    assert await seqs(reader, ended=True) == up_to(80)
    assert await seqs(reader, after=60, ended=True) == up_to(80, first=61)


async def test_a_hung_redis_does_not_hold_the_play(
    publish: Callable[..., Publisher], reader: EventReader, redis_under_test: RedisServer
) -> None:
    publisher = publish()
    publisher.__enter__()
    redis_under_test.process.pause()
    try:
        started = time.monotonic()
        for seq in up_to(1000):
            publisher.append(event(seq))
        assert time.monotonic() - started < 2
    finally:
        redis_under_test.process.resume()
    publisher.close()
    assert await seqs(reader) == up_to(1000)


async def test_events_are_kept_when_redis_hangs_until_after_the_end(
    publish: Callable[..., Publisher], reader: EventReader, redis_under_test: RedisServer
) -> None:
    publisher = publish()
    redis_under_test.process.pause()
    try:
        started = time.monotonic()
        with publisher:
            for seq in up_to(40):
                publisher.append(event(seq))
        assert time.monotonic() - started < 25
    finally:
        redis_under_test.process.resume()
    redis_under_test.flush()
    assert await seqs(reader) == up_to(40)


async def test_a_reader_says_so_when_redis_is_away(reader: EventReader, redis_under_test: RedisServer) -> None:
    redis_under_test.process.kill()
    try:
        with pytest.raises(Unavailable, match="live events are away"):
            await seqs(reader)
    finally:
        redis_under_test.process.revive()


async def test_the_end_wakes_a_follower_and_is_no_event(
    publish: Callable[..., Publisher], reader: EventReader, raw: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    with publish() as publisher:
        publisher.append(event(1))
    monkeypatch.setattr(subscribe, "BLOCK_MS", 4000)
    follower = reader.follow()
    assert await anext(follower) == Batch(1, [event(1).to_line()])
    assert await anext(follower) is None
    waiting = asyncio.ensure_future(anext(follower))
    await asyncio.to_thread(mark_end, raw, JOB, ATTEMPT, 1)
    started = time.monotonic()
    assert await waiting is None
    assert time.monotonic() - started < 3  # it would have looked again after four seconds
    assert await seqs(reader) == [1]
    await follower.aclose()


async def test_the_stored_events_replace_a_stream_that_was_let_go(
    publish: Callable[..., Publisher], reader: EventReader, objects: DirectoryStore, raw: "Redis"
) -> None:
    with publish() as publisher:
        for seq in up_to(10):
            publisher.append(event(seq))
    await objects.put(
        keys.events_object(JOB, ATTEMPT), "".join(event(seq).to_json() + "\n" for seq in up_to(10)).encode()
    )
    expire(raw, JOB, ATTEMPT, ttl=1)
    wait_for(lambda: not raw.exists(STREAM), message="the stream did not expire")
    assert await seqs(reader) == up_to(10)
    assert await seqs(reader, after=4) == up_to(10, first=5)


class Counting(DirectoryStore):
    """A store that counts what is read of it."""

    read = 0

    async def get(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        async for block in super().get(key, start, end):
            self.read += len(block)
            yield block


async def test_any_place_of_a_large_stored_log_is_found_without_reading_the_rest(
    redis_under_test: RedisServer, tmp_path: Path
) -> None:
    total, objects = 60_000, Counting(tmp_path / "objects")
    lines = b"".join(event(seq).to_line() + b"\n" for seq in up_to(total))
    await objects.put(keys.events_object(JOB, ATTEMPT), lines)
    client = redis.async_client(redis_under_test.url)
    reader = EventReader(client, objects, JOB, ATTEMPT)
    for after in (total - 1, total - 3000, total // 2, 1):
        objects.read = 0
        first = await anext(reader.batches(after))
        assert first.first == after + 1
        assert Event.from_json(first.lines[0]).seq == after + 1
        assert objects.read < len(lines) / 5
    assert await seqs(reader, after=total - 2) == [total - 1, total]
    assert await seqs(reader, after=total) == []
    await client.aclose()
