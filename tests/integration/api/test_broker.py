"""A dead or hung Redis: jobs are accepted all the same, in time, and workers hear of them when it is back."""

import asyncio
import time
from typing import Any

import pytest

from ansible_api.jobs import workers
from ansible_api.routing import Queue
from tests.integration.api.conftest import JOB, Api
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio
JOBS = "/api/v1/jobs"


async def test_with_a_hung_redis_many_jobs_are_accepted_within_two_seconds_each(
    api: Api, redis_server: RedisServer
) -> None:
    async with api.client() as client:
        await client.post(JOBS, json=JOB)

        async def timed_post() -> float:
            started = time.monotonic()
            assert (await client.post(JOBS, json=JOB)).status_code == 202
            return time.monotonic() - started

        usual = max(await asyncio.gather(*(timed_post() for _ in range(8))))
        redis_server.process.pause()
        together = await asyncio.gather(*(timed_post() for _ in range(8)))
        afterwards = await timed_post()
        listed = await client.get(f"{JOBS}?limit=100")
        redis_server.process.resume()
    assert max(together) < 2 + 3 * usual  # what they take anyway is the machine's
    assert afterwards < 0.5 + 3 * usual
    assert len(listed.json()["items"]) == 18


async def test_with_a_dead_redis_jobs_are_accepted_and_canceled(api: Api, redis_server: RedisServer) -> None:
    async with api.client() as client:
        started = time.monotonic()
        await client.post(JOBS, json=JOB)
        usual = time.monotonic() - started
        redis_server.process.kill()
        started = time.monotonic()
        accepted = await client.post(JOBS, json=JOB)
        canceled = await client.delete(accepted.headers["location"])
        assert time.monotonic() - started < 2 + 6 * usual
    assert (accepted.status_code, canceled.status_code) == (202, 202)


async def test_once_redis_is_back_jobs_are_told_again(
    api: Api, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.database.write(workers.register, "node:1", ["default"], 1000)
    async with api.client() as client:
        redis_server.process.kill()
        await client.post(JOBS, json=JOB)
        redis_server.process.start()
        redis_server.flush()

        async def told() -> int:
            assert (await client.post(JOBS, json=JOB)).status_code == 202
            return await asyncio.to_thread(api.parts.queue.depth, Queue.DEFAULT)

        async with asyncio.timeout(20):
            while not await told():
                pass


async def test_a_wait_ends_in_time_with_a_hung_redis(api: Api, redis_server: RedisServer) -> None:
    redis_server.process.pause()
    async with api.client() as client:
        started = time.monotonic()
        answer = await client.post(f"{JOBS}?wait=1", json=JOB)
    redis_server.process.resume()
    assert answer.status_code == 202
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("suffix", ["/events", "/logs"])
async def test_live_events_are_unavailable_with_a_dead_redis(api: Api, redis_server: RedisServer, suffix: str) -> None:
    async with api.client() as client:
        address = (await client.post(JOBS, json=JOB)).headers["location"]
        redis_server.process.kill()
        refused: Any = await client.get(address + suffix)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
