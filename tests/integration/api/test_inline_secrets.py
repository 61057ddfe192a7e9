"""Secret values that come with a request: sealed beside its job, opened for it, gone with its end."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.model import JobSecret
from ansible_api.credentials.resolve import Owner, load
from ansible_api.credentials.secrets import GitLogin, Secrets
from ansible_api.credentials.store import check_master_key
from ansible_api.egress import Policy
from ansible_api.errors import JobError, StartupError
from ansible_api.jobs import repairs, store
from ansible_api.jobs.secrets import wanted
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Status
from ansible_api.models import metadata
from tests.integration.api.conftest import JOB, Api
from tests.integration.rows import past, put

pytestmark = pytest.mark.anyio
JOBS = "/api/v1/jobs"
CANARY = "canary-with-request"


def inline(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "inline", "value": {"kind": kind, **fields}}


REQUEST = JOB | {
    "source": JOB["source"] | {"git_credential": inline("git", token=f"{CANARY}-git")},
    "credentials": {
        "ssh": inline("ssh_password", password=f"{CANARY}-ssh", username="deploy"),
        "vault_password": [
            inline("vault_password", password=f"{CANARY}-{vault_id}", vault_id=vault_id) for vault_id in ("dev", "prod")
        ],
        "cloud": {
            "type": "aws",
            "credential": inline("aws", access_key_id="AKIA", secret_access_key=f"{CANARY}-aws"),
        },
        "environment": inline("environment", variables={"A": f"{CANARY}-env"}),
    },
}


def dump(api: Api) -> str:
    """Every row of every table."""
    tables = metadata.sorted_tables
    rows = api.database.read(lambda session: [session.execute(select(table)).mappings().all() for table in tables])
    return str(rows)


def sealed(api: Api, job_id: str) -> int:
    places = select(JobSecret.place).where(JobSecret.job_id == job_id)
    return len(api.database.read(lambda session: session.execute(places).all()))


def opened(api: Api, job_id: str) -> Secrets:
    """What a worker that has claimed the job gets."""
    job = api.database.read(store.get, job_id)
    assert job is not None
    spec = JobSpec.model_validate(job.spec)
    return api.database.read(load, api.parts.cipher, Owner(job.team, job.id), wanted(spec)).open(Policy(), 1)


async def test_the_values_reach_the_worker_and_nobody_else(api: Api) -> None:
    async with api.client() as client:
        made = await client.post(JOBS, json=REQUEST, headers={"Idempotency-Key": "k"})
        assert made.status_code == 202, made.text
        job_id = made.json()["id"]
        looked = await client.get(f"{JOBS}/{job_id}")
        listed = await client.get(JOBS)
        replayed = await client.post(JOBS, json=REQUEST, headers={"Idempotency-Key": "k"})
    assert (replayed.status_code, replayed.json()["id"]) == (200, job_id)
    for told in (made.text, looked.text, listed.text, replayed.text, dump(api)):
        assert "canary" not in told
    found = opened(api, job_id)
    assert found.git("/source") == GitLogin("git", SecretStr(f"{CANARY}-git"))
    assert [(p.vault_id, p.password.get_secret_value()) for p in found.vault_passwords] == [
        ("dev", f"{CANARY}-dev"),
        ("prod", f"{CANARY}-prod"),
    ]
    assert {f"{CANARY}-{name}" for name in ("git", "ssh", "dev", "prod", "aws", "env")} <= set(found.values())
    assert sealed(api, job_id) == 6


async def test_the_idempotency_key_tells_bodies_apart_that_differ_in_a_secret_only(api: Api) -> None:
    def request(password: str) -> dict[str, Any]:
        return JOB | {"credentials": {"become_password": inline("become_password", password=password)}}

    async with api.client() as client:
        assert (await client.post(JOBS, json=request("1234"), headers={"Idempotency-Key": "k"})).status_code == 202
        other = await client.post(JOBS, json=request("1235"), headers={"Idempotency-Key": "k"})
    assert other.json()["code"] == "idempotency_mismatch"


def finish(status: Status) -> Callable[[Api, str], None]:
    return lambda api, job_id: api.worker(job_id).finish(status)


def cancel_queued(api: Api, job_id: str) -> None:
    assert api.database.write(store.cancel_queued, "red", job_id)


def lose(api: Api, job_id: str) -> None:
    worker = api.worker(job_id)
    worker.begin_play()
    put(api.database, job_id, lease_until=past(60))
    [job] = api.database.read(repairs.expired)
    assert api.database.write(repairs.end_expired, job, max_attempts=3) is Status.LOST


ENDS = [*(finish(status) for status in (Status.SUCCESSFUL, Status.FAILED, Status.ERROR, Status.TIMED_OUT))]


@pytest.mark.parametrize(
    "end", [*ENDS, cancel_queued, lose], ids=["successful", "failed", "error", "late", "queued", "lost"]
)
async def test_the_values_are_gone_when_the_job_has_ended(api: Api, end: Callable[[Api, str], None]) -> None:
    async with api.client() as client:
        job_id = (await client.post(JOBS, json=REQUEST)).json()["id"]
        other = (await client.post(JOBS, json=REQUEST)).json()["id"]
    assert sealed(api, job_id) == 6
    end(api, job_id)
    assert sealed(api, job_id) == 0
    assert sealed(api, other) == 6, "another job keeps its own"
    with pytest.raises(JobError, match="no longer there: submit again"):
        opened(api, job_id)


async def test_the_values_stay_while_the_job_waits_for_another_attempt(api: Api) -> None:
    async with api.client() as client:
        job_id = (await client.post(JOBS, json=REQUEST)).json()["id"]
    worker = api.worker(job_id)
    assert api.database.write(store.hand_back, worker.fence, store.Return("away", "away", 0)) is Status.QUEUED
    assert set(opened(api, job_id).values())


async def test_a_start_without_the_key_of_a_waiting_jobs_values_is_refused(api: Api) -> None:
    async with api.client() as client:
        await client.post(JOBS, json=REQUEST)
    other = Cipher({7: bytes(32)})
    api.database.read(check_master_key, api.parts.cipher)
    with pytest.raises(StartupError, match="lacks version 1"):
        api.database.read(check_master_key, other)


async def test_the_job_that_is_answered_keeps_the_form_of_the_request(api: Api) -> None:
    """The row says that values came with the request, and where."""
    async with api.client() as client:
        job_id = (await client.post(JOBS, json=REQUEST)).json()["id"]
    job = api.database.read(store.get, job_id)
    assert job is not None
    assert job.spec["credentials"]["ssh"] == {"type": "inline"}
    assert "value" not in json.dumps(job.spec["credentials"])
