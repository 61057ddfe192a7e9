"""Probes and metrics."""

import time

import pytest

from ansible_api.errors import Unavailable
from tests.integration.api.conftest import JOB, Api
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio


async def test_a_healthy_service_is_alive_and_ready(api: Api) -> None:
    async with api.stranger() as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        ready = await client.get("/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "database": "ok", "broker": "ok", "storage": "ok"},
    )


@pytest.mark.parametrize("trouble", ["dead", "hung"])
async def test_without_its_broker_it_is_alive_but_not_ready(api: Api, redis_server: RedisServer, trouble: str) -> None:
    if trouble == "dead":
        redis_server.process.kill()
    else:
        redis_server.process.pause()
    async with api.stranger() as client:
        started = time.monotonic()
        ready = await client.get("/ready")
        assert time.monotonic() - started < 3
        assert (await client.get("/health")).status_code == 200
    redis_server.process.resume()
    assert (ready.status_code, ready.json()) == (
        503,
        {"status": "not ready", "database": "ok", "broker": "away", "storage": "ok"},
    )


async def test_it_becomes_ready_again(api: Api, redis_server: RedisServer) -> None:
    redis_server.process.kill()
    async with api.stranger() as client:
        assert (await client.get("/ready")).status_code == 503
        redis_server.process.start()
        assert (await client.get("/ready")).status_code == 200


async def test_metrics_count_requests_by_their_route_and_jobs_by_queue(api: Api) -> None:
    async with api.client() as client:
        address = (await client.post("/api/v1/jobs", json=JOB)).headers["location"]
        await client.get(address)
        await client.get("/nowhere/at/all")
        metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    lines = metrics.text.splitlines()
    counted = [line.partition("}")[0] for line in lines if line.startswith("ansible_api_http_request_seconds_count")]
    name = "ansible_api_http_request_seconds_count"
    assert f'{name}{{method="POST",route="/api/v1/jobs",status="202"' in counted
    assert f'{name}{{method="GET",route="/api/v1/jobs/{{job_id' in counted
    assert f'{name}{{method="GET",route="unmatched",status="404"' in counted
    assert any(line.startswith('ansible_api_jobs_submitted_total{queue="default"}') for line in lines)
    assert address.rpartition("/")[2] not in metrics.text


async def test_metrics_tell_what_the_queues_look_like(api: Api) -> None:
    async with api.client() as client:
        await client.post("/api/v1/jobs", json=JOB)
        lines = (await client.get("/metrics")).text.splitlines()
    assert 'ansible_api_jobs{queue="default",status="queued"} 1.0' in lines
    assert 'ansible_api_queue_depth{queue="default"} 1.0' in lines
    assert 'ansible_api_workers{queue="delivery"} 0.0' in lines


async def test_several_scrapers_cost_one_look_at_the_database(api: Api) -> None:
    async with api.client() as client:
        before = (await client.get("/metrics")).text
        await client.post("/api/v1/jobs", json=JOB)
        after = (await client.get("/metrics")).text
    queued = 'ansible_api_jobs{queue="default",status="queued"} 0.0'
    assert queued in before.splitlines()
    assert queued in after.splitlines()


async def test_without_the_database_metrics_tell_of_the_process_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(api.parts.db, "read", away)
    async with api.stranger() as client:
        metrics = await client.get("/metrics")
    assert metrics.status_code == 200
    assert "ansible_api_http_request_seconds" in metrics.text
    assert "ansible_api_queue_depth" not in metrics.text
