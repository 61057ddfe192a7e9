"""What the API's log lines carry, and its traces."""

from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from ansible_api.jobs import store
from tests.integration.api.conftest import JOB, Api

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def of_requests(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "request"]


async def test_the_line_of_a_submission_names_job_queue_key_and_trace(api: Api) -> None:
    async with api.client() as client:
        with capture_logs(processors=[merge_contextvars]) as lines:
            job = (await client.post("/api/v1/jobs", json=JOB, headers={"traceparent": PARENT})).json()
    [line] = of_requests(lines)
    assert (line["job_id"], line["queue"], line["attempt"]) == (job["id"], "default", 0)
    assert line["trace_id"] == TRACE
    assert line["key_id"]
    assert line["request_id"]


async def test_the_line_of_a_request_names_the_job_of_its_address(api: Api) -> None:
    async with api.client() as client:
        address = (await client.post("/api/v1/jobs", json=JOB)).headers["location"]
        with capture_logs(processors=[merge_contextvars]) as lines:
            await client.get(f"{address}/hosts")
    [line] = of_requests(lines)
    assert line["job_id"] == address.rpartition("/")[2]
    assert "trace_id" not in line


async def test_nothing_of_one_request_is_in_the_line_of_the_next(api: Api) -> None:
    async with api.client() as client:
        await client.post("/api/v1/jobs", json=JOB, headers={"traceparent": PARENT})
        with capture_logs(processors=[merge_contextvars]) as lines:
            await client.get("/nowhere")
    [line] = of_requests(lines)
    assert "trace_id" not in line


async def test_without_a_receiver_a_job_keeps_its_callers_trace(api: Api) -> None:
    async with api.client() as client:
        answer = await client.post("/api/v1/jobs", json=JOB, headers={"traceparent": PARENT})
    assert answer.headers["traceparent"] == PARENT
    job = api.database.read(store.get, answer.json()["id"])
    assert job is not None
    assert job.trace_parent == PARENT
