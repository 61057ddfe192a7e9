"""A database that goes and comes back: 503 while it is away, no stale connection afterwards."""

import asyncio
import time
from pathlib import Path

import pytest

from ansible_api.db import SHORT_SILENCE
from tests.integration.api.conftest import JOB, settings_of, started
from tests.migrated import migrate
from tests.servers.mariadb import MariaDBServer
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.anyio


async def test_without_its_database_calls_are_unavailable_and_then_served_again(
    mariadb_url: str, mariadb_server: MariaDBServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.process.revive()
    migrate(mariadb_url)
    async with started(settings_of(mariadb_url, redis_server.url, tmp_path)) as api, api.client() as client:
        assert (await client.post("/api/v1/jobs", json=JOB)).status_code == 202
        mariadb_server.process.kill()
        away = await client.post("/api/v1/jobs", json=JOB)
        ready = await client.get("/ready")
        mariadb_server.process.start()
        back = await client.post("/api/v1/jobs", json=JOB)
    assert (away.status_code, away.json()["code"]) == (503, "unavailable")
    assert int(away.headers["retry-after"]) > 0
    assert (ready.status_code, ready.json()["database"]) == (503, "away")
    assert back.status_code == 202, back.text


async def test_a_database_that_hangs_keeps_callers_waiting_for_twenty_seconds_at_most(
    mariadb_url: str, mariadb_server: MariaDBServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.process.revive()
    migrate(mariadb_url)
    async with started(settings_of(mariadb_url, redis_server.url, tmp_path)) as api, api.client() as client:
        client.timeout = 90
        await asyncio.gather(*(client.get("/api/v1/jobs") for _ in range(5)))
        wait_for(lambda: _resting(mariadb_server, mariadb_url.rpartition("/")[2]) >= 2, timeout=10, interval=0.2)
        mariadb_server.process.pause()
        began = time.monotonic()
        reads = [client.get("/api/v1/jobs") for _ in range(15)]
        writes = [client.post("/api/v1/jobs", json=JOB) for _ in range(15)]
        answers = await asyncio.gather(*reads, *writes)
        took = time.monotonic() - began
        mariadb_server.process.resume()
        back = await client.post("/api/v1/jobs", json=JOB)
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    assert took < 2 * SHORT_SILENCE + 5
    assert back.status_code == 202, back.text


async def test_a_connection_that_the_server_ended_while_it_rested_is_replaced(
    mariadb_url: str, mariadb_server: MariaDBServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.process.revive()
    migrate(mariadb_url)
    name = mariadb_url.rpartition("/")[2]
    async with started(settings_of(mariadb_url, redis_server.url, tmp_path)) as api, api.client() as client:
        await client.post("/api/v1/jobs", json=JOB)
        wait_for(lambda: _resting(mariadb_server, name) >= 2, timeout=10, interval=0.2, message="no connection rested")
        for (connection,) in mariadb_server.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s", name
        ):
            mariadb_server.execute(f"KILL {connection}")
        answer = await client.post("/api/v1/jobs", json=JOB)
    assert answer.status_code == 202, answer.text


def _resting(server: MariaDBServer, name: str) -> int:
    """How long the busiest connection to a database has been idle, in seconds."""
    rows = server.execute("SELECT MIN(time) FROM information_schema.processlist WHERE db = %s", name)
    return int(rows[0][0] or 0)
