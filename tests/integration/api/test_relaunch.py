"""Relaunching over HTTP, and finding jobs by their labels."""

from typing import Any

import pytest

from ansible_api.db import now_plus
from ansible_api.jobs import closing, store
from ansible_api.jobs.state import LogStatus, Status
from ansible_api.keys.model import Role
from tests.integration.api.conftest import Api
from tests.integration.rows import put

pytestmark = pytest.mark.anyio
JOBS = "/api/v1/jobs"
JOB: dict[str, Any] = {
    "source": {"type": "playbook", "repo": "https://git.example.com/a.git", "branch": "main", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1", "web2"]},
    "options": {"labels": {"env": "prod", "app": "shop"}},
}
COMMIT = "c" * 40


def end(api: Api, job_id: str) -> None:
    """As a worker would have ended it, with one host that failed."""
    job = api.database.write(store.claim, job_id, "owner", 60.0)
    assert job is not None
    fence = store.Fence(job_id, job.attempt, "owner")
    good = dict.fromkeys(("ok", "changed", "failed", "unreachable", "skipped", "rescued", "ignored"), 0)
    api.database.write(store.save_hosts, fence, {"web1": good, "web2": good | {"failed": 1}})
    assert api.database.write(store.finish, fence, Status.FAILED, commit=COMMIT, events=3, play_started_at=now_plus())


async def test_a_relaunch_is_a_new_job_on_the_failed_hosts_of_the_same_commit(api: Api) -> None:
    async with api.client() as client:
        first = (await client.post(JOBS, json=JOB)).json()
        end(api, first["id"])
        answer = await client.post(f"{JOBS}/{first['id']}/relaunch", json={"hosts": "failed"})
    assert answer.status_code == 202, answer.text
    again = answer.json()
    assert answer.headers["location"] == f"{JOBS}/{again['id']}"
    assert again["relaunch_of"] == first["id"]
    assert again["id"] != first["id"]
    assert (again["source"]["branch"], again["options"]["limit"]) == (COMMIT, ["web2"])


async def test_a_relaunch_without_a_body_repeats_everything(api: Api) -> None:
    async with api.client() as client:
        first = (await client.post(JOBS, json=JOB)).json()
        end(api, first["id"])
        again = (await client.post(f"{JOBS}/{first['id']}/relaunch")).json()
    assert again["status"] == "queued"
    assert "limit" not in again["options"]


async def test_a_relaunch_that_is_sent_twice_makes_one_job(api: Api) -> None:
    async with api.client() as client:
        first = (await client.post(JOBS, json=JOB)).json()
        end(api, first["id"])
        address, key = f"{JOBS}/{first['id']}/relaunch", {"Idempotency-Key": "once"}
        one, two = [await client.post(address, json={}, headers=key) for _ in range(2)]
        other = await client.post(address, json={"commit": "latest"}, headers=key)
    assert (one.status_code, two.status_code, one.json()["id"]) == (202, 200, two.json()["id"])
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_what_cannot_be_relaunched_says_why(api: Api) -> None:
    async with api.client() as client, api.client(Role.VIEWER) as viewer, api.client(team="blue") as stranger:
        first = (await client.post(JOBS, json=JOB)).json()
        address = f"{JOBS}/{first['id']}/relaunch"
        running = await client.post(address, json={})
        end(api, first["id"])
        unknown = await client.post(address, json={"host": "failed"})
        forbidden, foreign = await viewer.post(address, json={}), await stranger.post(address, json={})
        put(api.database, first["id"], spec={**JOB, "credentials": {"ssh": {"type": "inline"}}})
        gone = await client.post(address, json={})
    assert (running.status_code, running.json()["code"]) == (409, "conflict")
    assert unknown.json()["errors"][0]["pointer"] == "/host"
    assert (forbidden.status_code, foreign.status_code) == (403, 404)
    assert (gone.status_code, gone.json()["errors"][0]["pointer"]) == (422, "/credentials/ssh")


async def test_jobs_are_found_by_all_of_some_labels(api: Api) -> None:
    other = {**JOB, "options": {"labels": {"env": "prod"}}}
    async with api.client() as client, api.client(team="blue") as stranger:
        shop = (await client.post(JOBS, json=JOB)).json()["id"]
        plain = (await client.post(JOBS, json=other)).json()["id"]
        assert (await stranger.post(JOBS, json=JOB)).status_code == 202

        async def found(*labels: str) -> list[str]:
            answer = await client.get(JOBS, params={"label": list(labels)})
            return [item["id"] for item in answer.json()["items"]]

        assert await found("env=prod") == [plain, shop]
        assert await found("env=prod", "app=shop") == [shop]
        assert await found("env=test") == []
        bad = await client.get(JOBS, params={"label": "env"})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/query/label/0")


async def test_a_log_is_kept_for_as_long_as_its_job_asked(api: Api) -> None:
    from ansible_api.jobs.model import JobObject

    async with api.client() as client:
        job_id = (await client.post(JOBS, json={**JOB, "options": {"retain_days": 2}})).json()["id"]
    end(api, job_id)
    product = JobObject(job_id=job_id, attempt=1, kind="log", key="k", size=1, sha256="x", created_at=now_plus())
    assert api.database.write(closing.close, job_id, 1, log_status=LogStatus.STORED, events=3, products=[product])
    job = api.database.read(store.get, job_id)
    assert (job.log_expires_at - job.closed_at).days == 2


async def test_lists_leave_out_what_may_be_long(api: Api) -> None:
    role = {**JOB["source"], "type": "role", "path": "roles/one", "role_vars": {"a": 1}}
    long = {"limit": ["web1"], "env": {"A": "b"}, "forks": 7}
    async with api.client() as client:
        made = (await client.post(JOBS, json={**JOB, "source": role, "options": long})).json()
        (listed,) = (await client.get(JOBS)).json()["items"]
    assert (made["source"]["role_vars"], made["options"]["limit"]) == ({"a": 1}, ["web1"])
    assert not {"role_vars", "limit", "env"} & {*listed["source"], *listed["options"]}
    assert listed["options"]["forks"] == 7


async def test_role_vars_have_the_limit_of_extra_vars(api: Api) -> None:
    large = {"filler": "x" * 1024 * 1024}
    role = {**JOB["source"], "type": "role", "path": "roles/one", "role_vars": large}
    async with api.client() as client:
        answer = await client.post(JOBS, json={**JOB, "source": role})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/source/role_vars")
