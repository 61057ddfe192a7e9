"""Submitting and reading jobs."""

import pytest

from tests.integration.api.conftest import JOB, Api

pytestmark = pytest.mark.anyio


async def test_a_submitted_job_is_accepted_and_can_be_read(api: Api) -> None:
    async with api.client() as client:
        accepted = await client.post("/api/v1/jobs", json=JOB)
        assert accepted.status_code == 202, accepted.text
        job = accepted.json()
        assert accepted.headers["location"] == f"/api/v1/jobs/{job['id']}"
        assert accepted.headers["retry-after"] == "1"
        assert (job["status"], job["queue"], job["progress"]["hosts_pending"]) == ("queued", "default", 2)
        read = await client.get(accepted.headers["location"])
    assert read.status_code == 200
    assert read.json() == job
