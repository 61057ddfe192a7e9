"""Queues over the API: look, pause, resume, drain."""

import asyncio
from typing import Any

import httpx
import pytest

from ansible_api.jobs import service, store, workers
from ansible_api.keys.model import Role
from ansible_api.routing import JOB_QUEUES, Queue
from tests.integration.api.conftest import JOB, Api
from tests.waiting import wait_for

pytestmark = pytest.mark.anyio
JOBS, QUEUES = "/api/v1/jobs", "/api/v1/queues"


async def queue(api: Api, name: str = "default") -> dict[str, Any]:
    async with api.client(Role.VIEWER, team="another") as client:
        items: list[dict[str, Any]] = (await client.get(QUEUES)).json()["items"]
    assert [item["name"] for item in items] == list(JOB_QUEUES)
    return next(item for item in items if item["name"] == name)


async def test_a_queue_tells_what_waits_and_runs_and_who_serves_it(api: Api) -> None:
    async with api.client() as client:
        ids = [(await client.post(JOBS, json=JOB)).json()["id"] for _ in range(3)]
    api.database.write(workers.register, "node:1", ["default", "delivery"], 4)
    assert api.database.write(store.claim, ids[0], "node:1/2", 60.0)
    found = await queue(api)
    assert (found["depth"], found["delayed"], found["running"]) == (2, 0, 1)
    assert (found["slots"], found["busy"], found["paused_at"]) == (4, 1, None)
    assert 0 <= found["oldest_seconds"] < 60
    assert [(worker["node"], worker["drain_at"]) for worker in found["workers"]] == [("node:1", None)]
    other = await queue(api, "git-heavy")
    assert (other["depth"], other["oldest_seconds"], other["slots"], other["workers"]) == (0, None, 0, [])


async def test_jobs_of_a_paused_queue_are_accepted_and_begin_when_it_is_resumed(api: Api) -> None:
    async with api.client(Role.ADMIN, team="default") as client:
        paused = await client.post(f"{QUEUES}/default/pause")
        again = await client.post(f"{QUEUES}/default/pause")
        assert (paused.status_code, again.json()["paused_at"]) == (200, paused.json()["paused_at"])
        job = (await client.post(JOBS, json=JOB)).json()
        shown = (await client.get(f"{JOBS}/{job['id']}")).json()
        assert shown["why_waiting"]["reason"] == "queue_paused"
        assert api.parts.queue.depth(Queue.DEFAULT) == 0
        assert api.database.write(store.claim, job["id"], "node:1/2", 60.0) is None
        resumed = await client.post(f"{QUEUES}/default/resume")
    assert resumed.json()["paused_at"] is None
    await asyncio.to_thread(wait_for, lambda: api.parts.queue.depth(Queue.DEFAULT) == 1, 10)


async def test_operators_who_pause_a_queue_at_the_same_moment_pause_it_once(api: Api) -> None:
    async with api.client(Role.ADMIN, team="default") as client:
        paused = await asyncio.gather(*(client.post(f"{QUEUES}/default/pause") for _ in range(6)))
    assert [answer.status_code for answer in paused] == [200] * 6
    assert len({answer.json()["paused_at"] for answer in paused}) == 1


async def test_a_drained_worker_takes_no_job(api: Api) -> None:
    api.database.write(workers.register, "node:1", ["default"], 4)
    async with api.client(Role.ADMIN, team="default") as client:
        job = (await client.post(JOBS, json=JOB)).json()
        assert (await client.post("/api/v1/workers/node:1/drain")).status_code == 202
        unknown = await client.post("/api/v1/workers/node:2/drain")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert api.database.write(store.claim, job["id"], "node:1/2", 60.0) is None
    assert api.database.write(store.claim, job["id"], "node:2/2", 60.0) is not None
    found = await queue(api)
    assert found["slots"] == 0
    assert found["workers"][0]["drain_at"] is not None


@pytest.mark.parametrize("path", ["queues/default/pause", "queues/default/resume", "workers/node:1/drain"])
async def test_what_concerns_all_teams_takes_an_admin_of_the_operators(api: Api, path: str) -> None:
    for role, team in ((Role.SUBMITTER, "default"), (Role.ADMIN, "another")):
        async with api.client(role, team=team) as client:
            refused = await client.post(f"/api/v1/{path}")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("name", ["delivery", "nowhere"])
async def test_a_queue_that_runs_no_jobs_cannot_be_paused(api: Api, name: str) -> None:
    async with api.client(Role.ADMIN, team="default") as client:
        refused = await client.post(f"{QUEUES}/{name}/pause")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/path/name"


async def test_beyond_the_slots_that_are_free_jobs_stand_in_line(api: Api) -> None:
    api.database.write(workers.register, "node:1", ["default"], 3)
    async with api.client() as client:
        for _ in range(9):
            await client.post(JOBS, json=JOB)
    await asyncio.to_thread(wait_for, lambda: api.parts.queue.depth(Queue.DEFAULT) == 3, 10)


# Concurrency groups


def grouped(on_conflict: str, limit: int = 1) -> dict[str, Any]:
    return JOB | {"options": {"concurrency": {"group": "prod-web", "limit": limit, "on_conflict": on_conflict}}}


async def submitted(client: httpx.AsyncClient, count: int, *wish: Any) -> list[str]:
    return [(await client.post(JOBS, json=grouped(*wish))).json()["id"] for _ in range(count)]


async def shown(client: httpx.AsyncClient, ids: list[str], name: str) -> list[Any]:
    """What a field of these jobs says."""
    return [(await client.get(f"{JOBS}/{job_id}")).json()[name] for job_id in ids]


async def begin(api: Api, *ids: str) -> None:
    for job_id in ids:  # not in the loop: in SQLite it waits for what the feeder is about to commit there
        assert await asyncio.to_thread(api.database.write, store.claim, job_id, "node:1/2", 60.0)


async def test_a_job_whose_group_is_full_is_refused_when_it_asks_for_that(api: Api) -> None:
    async with api.client() as client:
        first = await client.post(JOBS, json=grouped("reject"))
        second = await client.post(JOBS, json=grouped("reject"))
        third = await client.post(JOBS, json=grouped("reject", limit=2))
    assert [answer.status_code for answer in (first, second, third)] == [202, 409, 202]
    assert "/options/concurrency" in second.json()["detail"]


async def test_a_job_can_take_the_place_of_those_that_wait(api: Api) -> None:
    async with api.client() as client:
        running, waiting = [(await client.post(JOBS, json=grouped("queue"))).json()["id"] for _ in range(2)]
        await begin(api, running)
        newest = (await client.post(JOBS, json=grouped("replace_queued"))).json()["id"]
        found = [(await client.get(f"{JOBS}/{job_id}")).json()["status"] for job_id in (running, waiting, newest)]
    assert found == ["running", "canceled", "queued"]


async def test_while_there_is_room_nothing_is_replaced(api: Api) -> None:
    async with api.client() as client:
        ids = await submitted(client, 3, "replace_queued", 3)
        assert await shown(client, ids, "status") == ["queued"] * 3
        ids += await submitted(client, 1, "replace_queued", 3)
        assert await shown(client, ids, "status") == ["canceled"] * 3 + ["queued"]


async def test_the_closing_of_jobs_that_were_replaced_is_sent_at_once(api: Api) -> None:
    async with api.client() as client:
        await submitted(client, 2, "queue", 2)
        assert api.parts.queue.depth(Queue.DELIVERY) == 0
        await submitted(client, 1, "replace_queued", 2)
    assert api.parts.queue.depth(Queue.DELIVERY) == 2


async def test_one_job_replaces_so_many_at_most(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REPLACED_AT_ONCE", 2)
    async with api.client() as client:
        ids = await submitted(client, 3, "queue") + await submitted(client, 1, "replace_queued")
        assert await shown(client, ids, "status") == ["canceled", "canceled", "queued", "queued"]


async def test_each_job_can_have_one_more_of_those_that_run_longest_cancelled(api: Api) -> None:
    async with api.client() as client:
        ids = await submitted(client, 3, "queue", 3)
        await begin(api, *reversed(ids))
        for stopping in (1, 2, 3, 3):
            await submitted(client, 1, "cancel_running", 3)
            asked = [moment is not None for moment in await shown(client, ids, "cancel_requested_at")]
            assert asked == [False] * (3 - stopping) + [True] * stopping


async def test_while_there_is_room_for_all_that_wait_nothing_that_runs_is_cancelled(api: Api) -> None:
    async with api.client() as client:
        running = await submitted(client, 1, "queue", 3)
        await begin(api, *running)
        await submitted(client, 2, "cancel_running", 3)
        assert await shown(client, running, "cancel_requested_at") == [None]
        await submitted(client, 1, "cancel_running", 3)
        assert await shown(client, running, "cancel_requested_at") != [None]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"group": "web", "limit": 0}, "/options/concurrency/limit"),
        ({"group": "web", "limit": 1.5}, "/options/concurrency/limit"),
        ({"group": "", "limit": 1}, "/options/concurrency/group"),
        ({"group": "a b"}, "/options/concurrency/group"),
        ({"group": "web", "on_conflict": "panic"}, "/options/concurrency/on_conflict"),
        ({"limit": 1}, "/options/concurrency/group"),
    ],
)
async def test_a_group_that_is_none_is_refused(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    async with api.client() as client:
        refused = await client.post(JOBS, json=JOB | {"options": {"concurrency": wrong}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
