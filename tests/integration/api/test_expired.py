"""A log that has had its time: said so wherever it would have been, while the job itself stays."""

import asyncio

import pytest

from ansible_api.db import now_plus
from ansible_api.keys.model import Role
from ansible_api.tasks.retention import Retention
from tests.integration.api.conftest import JOB, Api
from tests.integration.rows import past, put

pytestmark = pytest.mark.anyio
JOBS = "/api/v1/jobs"
FILE = {"name": "report.txt", "size": 1, "sha256": "x"}


async def expired_job(api: Api) -> str:
    """The address of a job whose log has expired; it had left a file."""
    async with api.client() as client:
        address = str((await client.post(JOBS, json=JOB)).headers["location"])
    job_id = address.rpartition("/")[2]
    worker = api.worker(job_id)
    worker.begin_play()
    worker.finish(events=1)
    await worker.store("log", b"said\n")
    found = {"data": {"version": "1.2"}, "files": [FILE], "left_out": []}
    put(api.database, job_id, artifacts=found, closed_at=past(31 * 86_400))
    await asyncio.to_thread(Retention(api.database, api.settings).round)
    return address


async def test_logs_events_and_files_are_gone_and_the_job_is_there(api: Api) -> None:
    address = await expired_job(api)
    async with api.client(Role.VIEWER) as client:
        for path in ("logs", "logs?format=ndjson", "events", "stream", "artifacts/report.txt"):
            gone = await client.get(f"{address}/{path}")
            assert (gone.status_code, gone.json()["code"]) == (410, "expired"), path
        job = (await client.get(address)).json()
        artifacts = (await client.get(f"{address}/artifacts")).json()
    assert (job["status"], job["log_status"]) == ("successful", "expired")
    assert artifacts["data"] == {"version": "1.2"}
    assert [file["name"] for file in artifacts["files"]] == ["report.txt"]


async def test_an_expired_job_of_another_team_is_a_404(api: Api) -> None:
    address = await expired_job(api)
    async with api.client(Role.ADMIN, team="blue") as client:
        for path in ("logs", "events", "stream", "artifacts/report.txt"):
            assert (await client.get(f"{address}/{path}")).status_code == 404


async def test_a_job_that_has_had_its_time_is_a_404(api: Api) -> None:
    address = await expired_job(api)
    put(api.database, address.rpartition("/")[2], closed_at=past(91 * 86_400), finished_at=now_plus())
    await asyncio.to_thread(Retention(api.database, api.settings).round)
    async with api.client() as client:
        assert (await client.get(address)).status_code == 404
        assert (await client.get(JOBS)).json()["items"] == []
