"""Submitting, reading, listing and canceling jobs."""

import asyncio
import time
from typing import Any

import pytest

from ansible_api.jobs import listing, store
from ansible_api.jobs.state import Status
from ansible_api.keys.model import Role
from ansible_api.routing import Queue
from tests.integration.api.conftest import JOB, Api
from tests.waiting import wait_for

pytestmark = pytest.mark.anyio
JOBS = "/api/v1/jobs"


async def test_a_submitted_job_is_accepted_and_can_be_read(api: Api) -> None:
    async with api.client() as client:
        accepted = await client.post(JOBS, json=JOB)
        assert accepted.status_code == 202, accepted.text
        job = accepted.json()
        assert accepted.headers["location"] == f"{JOBS}/{job['id']}"
        assert accepted.headers["retry-after"] == "1"
        assert (job["status"], job["queue"], job["progress"]["hosts_pending"]) == ("queued", "default", 2)
        assert job["created_at"].endswith("Z")
        assert job["log_url"] == f"http://api.test{JOBS}/{job['id']}/logs"
        read = await client.get(accepted.headers["location"])
    assert read.status_code == 200
    assert read.json()["why_waiting"]["reason"] == "no_worker"
    assert read.json() | {"why_waiting": None} == job


async def test_an_accepted_job_is_told_to_the_queue_of_its_workload(api: Api) -> None:
    async with api.client() as client:
        accepted = await client.post(JOBS, json=JOB | {"options": {"timeout": 7200}})
    assert accepted.json()["queue"] == "long-running"
    assert "7200" in accepted.json()["route_reason"]
    assert api.parts.queue.depth(Queue.LONG_RUNNING) == 1


async def test_a_key_with_queues_may_choose_one_of_them(api: Api) -> None:
    key = api.key(queues=["git-heavy"])
    async with api.client(key=key) as client:
        chosen = await client.post(JOBS, json=JOB | {"options": {"queue": "git-heavy"}})
        other = await client.post(JOBS, json=JOB | {"options": {"queue": "default"}})
    assert (chosen.status_code, chosen.json()["queue"]) == (202, "git-heavy")
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/options/queue")


async def test_the_trace_of_the_caller_stays_with_the_job(api: Api) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with api.client() as client:
        accepted = await client.post(JOBS, json=JOB, headers={"traceparent": trace})
        broken = await client.post(JOBS, json=JOB, headers={"traceparent": "00-zz-01"})
    assert accepted.headers["traceparent"] == trace
    assert "traceparent" not in broken.headers
    row = api.database.read(store.get, accepted.json()["id"])
    assert row is not None
    assert row.trace_parent == trace


async def test_a_callback_url_becomes_a_delivery_that_waits_for_the_end(api: Api) -> None:
    async with api.client() as client:
        url = "https://ci.example.com/webhook"
        accepted = await client.post(JOBS, json=JOB | {"options": {"callback_url": url}})
        assert accepted.status_code == 202, accepted.text
        found = await client.get(f"{JOBS}/{accepted.json()['id']}/deliveries")
    assert [(item["url"], item["state"], item["attempts"]) for item in found.json()["items"]] == [(url, "waiting", [])]


# Idempotency-Key


async def test_the_same_key_and_body_give_the_same_job(api: Api) -> None:
    async with api.client() as client:
        first = await client.post(JOBS, json=JOB, headers={"Idempotency-Key": "build-17"})
        again = await client.post(JOBS, json=JOB, headers={"Idempotency-Key": "build-17"})
        listed = await client.get(JOBS)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    assert len(listed.json()["items"]) == 1


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    async with api.client() as client:
        await client.post(JOBS, json=JOB, headers={"Idempotency-Key": "k"})
        other = await client.post(JOBS, json=JOB | {"extra_vars": {"a": 1}}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_two_teams_may_use_the_same_idempotency_key(api: Api) -> None:
    async with api.client(team="red") as red, api.client(team="blue") as blue:
        first = await red.post(JOBS, json=JOB, headers={"Idempotency-Key": "k"})
        second = await blue.post(JOBS, json=JOB, headers={"Idempotency-Key": "k"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]


async def test_simultaneous_requests_with_one_key_make_one_job(api: Api) -> None:
    async with api.client() as client:
        posts = [client.post(JOBS, json=JOB, headers={"Idempotency-Key": "race"}) for _ in range(8)]
        answers = await asyncio.gather(*posts)
        listed = await client.get(JOBS)
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(listed.json()["items"]) == 1


async def test_an_idempotency_key_is_printable_ascii(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client() as client:
        for key in (b"", b"x" * 256, b"with space", b"caf\xe9"):
            with subtests.test(key=key[:20]):
                refused = await client.post(JOBS, json=JOB, headers=[(b"Idempotency-Key", key)])
                assert refused.status_code == 422
                assert refused.json()["errors"][0]["pointer"] == "/header/idempotency-key"


# Waiting


async def test_a_caller_that_prefers_to_wait_gets_the_ended_job(api: Api) -> None:
    async with api.client() as client:
        posting = asyncio.create_task(client.post(JOBS, json=JOB, headers={"Prefer": "respond-async, wait=20"}))
        [job] = await asyncio.to_thread(wait_for, lambda: api.database.read(listing.page, "red", limit=1).jobs)
        await asyncio.to_thread(lambda: api.worker(job.id).finish())
        ended = await posting
    assert (ended.status_code, ended.json()["status"]) == (200, "successful")
    assert ended.headers["preference-applied"] == "wait=20"
    assert "retry-after" not in ended.headers


async def test_a_wait_that_is_over_answers_202(api: Api) -> None:
    async with api.client() as client:
        started = time.monotonic()
        waited = await client.post(f"{JOBS}?wait=1", json=JOB)
    assert (waited.status_code, waited.json()["status"]) == (202, "queued")
    assert 1 <= time.monotonic() - started < 3


async def test_a_long_wait_is_capped_by_the_setting(start: Any) -> None:
    api: Api = await start(wait_limit=1)
    async with api.client() as client:
        waited = await client.post(JOBS, json=JOB, headers={"Prefer": "wait=600"})
    assert waited.status_code == 202
    assert waited.headers["preference-applied"] == "wait=1"


async def test_a_long_poll_answers_when_the_job_ends(api: Api) -> None:
    async with api.client() as client:
        job_id = (await client.post(JOBS, json=JOB)).json()["id"]
        polling = asyncio.create_task(client.get(f"{JOBS}/{job_id}?wait=20"))
        await asyncio.to_thread(lambda: api.worker(job_id).finish(Status.FAILED))
        assert (await polling).json()["status"] == "failed"


async def test_a_wait_is_a_number_of_seconds(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client() as client:
        for wait in ("-1", "soon", "1.5"):
            with subtests.test(wait=wait):
                refused = await client.post(f"{JOBS}?wait={wait}", json=JOB)
                assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/wait")


# Reading


async def test_an_unchanged_job_is_not_sent_again(api: Api) -> None:
    async with api.client() as client:
        address = (await client.post(JOBS, json=JOB)).headers["location"]
        etag = (await client.get(address)).headers["etag"]
        same = await client.get(address, headers={"If-None-Match": f'"other", W/{etag}'})
        api.worker(address.rpartition("/")[2])
        changed = await client.get(address, headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert (changed.status_code, changed.json()["status"]) == (200, "running")
    assert changed.headers["etag"] != etag


async def test_a_place_in_the_events_that_redis_cannot_know_is_refused(api: Api) -> None:
    async with api.client() as client:
        job_id = (await client.post(JOBS, json=JOB)).json()["id"]
        for path, headers in (("events?after=", {}), ("stream?after=", {}), ("stream", {"Last-Event-ID": str(2**63)})):
            number = str(2**63) if path.endswith("=") else ""
            refused = await client.get(f"{JOBS}/{job_id}/{path}{number}", headers=headers)
            assert refused.status_code == 422
        assert (await client.get(f"{JOBS}/{job_id}/events?after={2**63 - 1}")).status_code == 200


async def test_hosts_come_with_their_recap(api: Api) -> None:
    async with api.client() as client:
        job_id = (await client.post(JOBS, json=JOB)).json()["id"]
        worker = api.worker(job_id)
        worker.begin_play()
        numbers = {"ok": 2, "changed": 1, "failed": 0, "unreachable": 0, "skipped": 0, "rescued": 0, "ignored": 0}
        api.database.write(store.save_hosts, worker.fence, {"web1": numbers, "web2": numbers | {"failed": 1}})
        hosts = (await client.get(f"{JOBS}/{job_id}/hosts")).json()["items"]
        progress = (await client.get(f"{JOBS}/{job_id}")).json()["progress"]
    assert hosts == [{"host": "web1"} | numbers, {"host": "web2"} | numbers | {"failed": 1}]
    assert (progress["hosts_ok"], progress["hosts_failed"], progress["hosts_pending"]) == (1, 1, 0)


# Canceling


@pytest.mark.parametrize(("method", "suffix"), [("DELETE", ""), ("POST", "/cancel")])
async def test_a_waiting_job_ends_at_once_and_has_its_log_closed(api: Api, method: str, suffix: str) -> None:
    async with api.client() as client:
        address = (await client.post(JOBS, json=JOB)).headers["location"]
        canceled = await client.request(method, address + suffix)
        again = await client.request(method, address + suffix)
    assert (canceled.status_code, canceled.json()["status"]) == (202, "canceled")
    assert canceled.json()["finished_at"]
    assert again.status_code == 202
    assert api.parts.queue.depth(Queue.DELIVERY) > 0


async def test_a_running_job_is_asked_to_stop(api: Api) -> None:
    async with api.client() as client:
        address = (await client.post(JOBS, json=JOB)).headers["location"]
        api.worker(address.rpartition("/")[2])
        asked = await client.delete(address)
        again = await client.delete(address)
    assert (asked.status_code, asked.json()["status"]) == (202, "running")
    assert asked.json()["cancel_requested_at"] == again.json()["cancel_requested_at"] is not None


async def test_a_finished_job_cannot_be_canceled(api: Api) -> None:
    async with api.client() as client:
        address = (await client.post(JOBS, json=JOB)).headers["location"]
        api.worker(address.rpartition("/")[2]).finish()
        refused = await client.delete(address)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "successful" in refused.json()["detail"]


# Teams


async def test_absent_and_foreign_jobs_are_the_same_404(api: Api) -> None:
    async with api.client(Role.ADMIN, team="red") as red, api.client(Role.ADMIN, team="blue") as blue:
        foreign = (await red.post(JOBS, json=JOB)).json()["id"]
        assert (await blue.get(JOBS)).json()["items"] == []
        for method, suffix in [
            ("GET", ""), ("GET", "?wait=1"), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/stream"), ("GET", "/logs"),
            ("GET", "/events"), ("GET", "/hosts"), ("GET", "/deliveries"),
        ]:  # fmt: skip
            answers = [
                await blue.request(method, f"{JOBS}/{job_id}{suffix}") for job_id in (foreign, "job-" + "0" * 23)
            ]
            bodies = [answer.json() | {"request_id": ""} for answer in answers]
            assert [answer.status_code for answer in answers] == [404, 404], suffix
            assert bodies[0] == bodies[1]
        assert (await red.get(f"{JOBS}/{foreign}")).json()["status"] == "queued"
