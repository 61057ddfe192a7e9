"""What readers get of a play's events when Redis fails at an unlucky moment: all of them."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis

from ansible_api.errors import Unavailable
from ansible_api.events.publish import Publisher
from ansible_api.events.subscribe import EventReader
from ansible_api.events.types import Event
from ansible_api.objects import ObjectStore
from ansible_api.objects.directory import DirectoryStore
from ansible_api.redis import async_client, client
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.anyio
PLACE = {"job_id": "job-1", "attempt": 1}


def event(seq: int, stdout: str = "") -> Event:
    return Event(seq=seq, time="2026-01-15T10:00:00Z", type="runner_on_ok", stdout=stdout)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return DirectoryStore(tmp_path / "objects")


@pytest.fixture
def publisher(redis_url: str, tmp_path: Path) -> Iterator[Publisher]:
    def put(key: str, data: bytes) -> None:
        if (tmp_path / "object store is away").exists():
            raise Unavailable("away")
        path = tmp_path / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    with client(redis_url) as connection:
        publisher = Publisher(connection, put, **PLACE, spool=tmp_path / "spool", hot_limit=4_000_000)  # type: ignore[arg-type]
        with publisher:
            yield publisher


@asynccontextmanager
async def reader(redis_url: str, objects: ObjectStore) -> AsyncIterator[EventReader]:
    connection = async_client(redis_url)
    try:
        yield EventReader(connection, objects, **PLACE)  # type: ignore[arg-type]
    finally:
        await connection.aclose()


def length(redis_url: str) -> Callable[[], int]:
    def look() -> int:
        with client(redis_url) as connection:
            return int(connection.xlen("ansible-api:events:job-1:1"))

    return look


async def test_events_of_a_play_that_ended_while_redis_was_down_are_told_after_those_before(
    redis_under_test: RedisServer, publisher: Publisher, objects: ObjectStore
) -> None:
    publisher.append(event(1))
    wait_for(lambda: length(redis_under_test.url)() == 1, message="nothing published")

    redis_under_test.process.kill()
    publisher.append(event(2))
    publisher.close()
    redis_under_test.process.revive()

    async with reader(redis_under_test.url, objects) as events:
        assert [event.seq async for event in events.history(ended=True)] == [1, 2]
        assert [event.seq async for event in events.history(after=1, ended=True)] == [2]


async def test_events_of_a_play_that_ended_while_redis_hung_are_kept(
    redis_under_test: RedisServer, publisher: Publisher, objects: ObjectStore
) -> None:
    redis_under_test.process.pause()
    publisher.append(event(1))
    publisher.close()
    redis_under_test.process.kill()  # it never read what it was sent
    redis_under_test.process.revive()

    async with reader(redis_under_test.url, objects) as events:
        assert [event.seq async for event in events.history(ended=True)] == [1]


async def test_what_redis_loses_while_a_play_runs_is_told_from_the_object_store(
    redis_under_test: RedisServer, publisher: Publisher, objects: ObjectStore
) -> None:
    for seq in range(1, 4):
        publisher.append(event(seq))
        wait_for(lambda: length(redis_under_test.url)() == 1, message="nothing published")
        redis_under_test.flush()
    publisher.append(event(4))
    wait_for(lambda: length(redis_under_test.url)() == 1, message="nothing published")
    async with reader(redis_under_test.url, objects) as events:
        told = list[int]()
        async for batch in events.follow():
            told += range(batch.first, batch.last + 1) if batch else []
            if told[-1:] == [4]:
                break
    assert told == [1, 2, 3, 4]


async def test_a_follower_of_a_stream_that_lost_its_beginning_does_not_spin(
    redis_under_test: RedisServer, publisher: Publisher, objects: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "object store is away").touch()
    publisher.append(event(1))
    wait_for(lambda: length(redis_under_test.url)() == 1, message="nothing published")
    with Redis.from_url(redis_under_test.url) as connection:
        connection.flushall()
    publisher.append(event(2))
    wait_for(lambda: length(redis_under_test.url)() == 1, message="nothing published")

    looks, began = 0, time.monotonic()
    async with reader(redis_under_test.url, objects) as events:
        async for found in events.follow():
            assert found is None
            looks += 1
            if looks == 3:
                break
    assert time.monotonic() - began > 1.0


async def test_a_backlog_larger_than_what_the_stream_may_hold_is_told_whole(
    redis_under_test: RedisServer, publisher: Publisher, objects: ObjectStore
) -> None:
    redis_under_test.process.kill()
    for seq in range(1, 31):
        publisher.append(event(seq, "x" * 500_000))
    publisher.close()
    redis_under_test.process.revive()

    async with reader(redis_under_test.url, objects) as events:
        assert [event.seq async for event in events.history(ended=True)] == list(range(1, 31))


async def test_an_event_that_is_being_written_is_published_when_it_is_whole(
    redis_under_test: RedisServer, publisher: Publisher, objects: ObjectStore, tmp_path: Path
) -> None:
    line = b"0 " + event(1).to_line() + b"\n"
    with (tmp_path / "spool").open("ab", buffering=0) as spool:
        spool.write(line + line[:20])
        publisher._wake.set()
        wait_for(lambda: length(redis_under_test.url)() == 1, message="nothing published")
        spool.write(line[20:])
    publisher.close()

    async with reader(redis_under_test.url, objects) as events:
        assert [event.seq async for event in events.history(ended=True)] == [1, 1]
