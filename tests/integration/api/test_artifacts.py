"""What a play left is listed and downloaded."""

import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest

from ansible_api.execution.artifacts import Artifact, Artifacts, Found, LeftOut
from ansible_api.jobs import store
from ansible_api.settings import Settings
from ansible_api.tasks import artifacts as tasks
from ansible_api.tasks.artifacts import keep_artifacts
from tests.integration.api.conftest import JOB, MASTER_KEY, Api
from tests.servers.s3 import S3Bucket, S3Server

pytestmark = pytest.mark.anyio
LEFT = [
    Artifact("reports/a b.txt", b"0123456789"),
    LeftOut("core", "it has more than 10 bytes"),
    Artifact("empty", b""),
]


def left(*files: Found, **data: object) -> Artifacts:
    def again() -> Iterator[Found]:
        yield from files

    return Artifacts(data, again)


async def ended(api: Api, found: Artifacts) -> str:
    """The address of a job whose play left that."""
    async with api.client() as client:
        address = str((await client.post("/api/v1/jobs", json=JOB)).headers["location"])
    worker = api.worker(address.rpartition("/")[2])
    worker.begin_play()
    kept = await anyio.to_thread.run_sync(keep_artifacts, api.settings, found, worker.fence.job_id, 1)
    api.database.write(store.write_running, worker.fence, artifacts=kept)
    worker.finish()
    return address


async def test_files_are_listed_and_read_whole_or_in_part(api: Api) -> None:
    address = await ended(api, left(*LEFT, version="1.2.3"))
    async with api.client() as client:
        job = (await client.get(address)).json()
        listed = (await client.get(f"{address}/artifacts")).json()
        assert job["artifacts"]["data"] == listed["data"] == {"version": "1.2.3"}
        assert [(file["name"], file["size"]) for file in listed["files"]] == [("reports/a b.txt", 10), ("empty", 0)]
        assert listed["left_out"] == [{"name": "core", "reason": "it has more than 10 bytes"}]
        whole, part, empty, absent = [
            await client.get(url, headers=headers)
            for url, headers in (
                (listed["files"][0]["url"], {}),
                (listed["files"][0]["url"], {"Range": "bytes=2-4"}),
                (listed["files"][1]["url"], {}),
                (f"{address}/artifacts/../log", {}),
            )
        ]
        page = (await client.get("/api/v1/jobs")).json()
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (
        200,
        b"0123456789",
        "application/octet-stream",
    )
    assert (part.status_code, part.content) == (206, b"234")
    assert (empty.status_code, empty.content) == (200, b"")
    assert absent.status_code == 404
    assert page["items"][0]["artifacts"] is None


async def test_a_play_that_left_nothing_has_an_empty_list(api: Api) -> None:
    address = await ended(api, left())
    async with api.client() as client:
        assert (await client.get(address)).json()["artifacts"] is None
        assert (await client.get(f"{address}/artifacts")).json() == {"data": {}, "files": [], "left_out": []}


async def test_artifacts_of_another_team_are_not_there(api: Api) -> None:
    address = await ended(api, left(*LEFT))
    async with api.client(team="blue") as stranger:
        answers = [await stranger.get(f"{address}/artifacts{rest}") for rest in ("", "/empty")]
    assert [answer.status_code for answer in answers] == [404, 404]


async def test_a_file_in_s3_is_downloaded_by_a_link_under_its_own_name(
    api_on_s3: Api,
) -> None:
    address = await ended(api_on_s3, left(*LEFT))
    async with api_on_s3.client() as client:
        answer = await client.get(f"{address}/artifacts/reports/a b.txt")
    assert answer.status_code == 307
    async with httpx.AsyncClient(trust_env=False) as stranger:
        download = await stranger.get(answer.headers["location"])
    assert (download.content, "a%20b.txt" in download.headers["content-disposition"]) == (b"0123456789", True)


def test_an_object_store_that_is_away_leaves_files_out_and_harms_nothing(
    tmp_path: Path,
) -> None:
    away = tmp_path / "file"
    away.touch()
    settings = Settings(database_url="sqlite://", redis_url="redis://", master_key=MASTER_KEY, objects_dir=away / "x")  # type: ignore[arg-type]
    kept = keep_artifacts(settings, left(*LEFT, version=1), "job-1", 1)
    assert kept is not None
    assert (kept["data"], kept["files"]) == ({"version": 1}, [])
    assert {one["reason"] for one in kept["left_out"]} == {tasks.NO_TIME, "it has more than 10 bytes"}


def test_an_object_store_that_begins_to_hang_holds_the_end_of_a_job_for_one_file(
    s3_bucket: S3Bucket, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> Iterator[Found]:
        yield Artifact("first", b"1")
        s3_server.process.pause()
        for number in range(20):
            yield Artifact(f"{number}", b"x" * 10)

    monkeypatch.setattr(tasks, "SILENCE", 0.5)
    settings = Settings(
        database_url="sqlite://",  # type: ignore[arg-type]
        redis_url="redis://",  # type: ignore[arg-type]
        master_key=MASTER_KEY,  # type: ignore[arg-type]
        s3_endpoint_url=s3_bucket.endpoint_url,
        s3_bucket=s3_bucket.name,
        s3_access_key_id=s3_bucket.access_key_id,
        s3_secret_access_key=s3_bucket.secret_access_key,  # type: ignore[arg-type]
    )
    keep_artifacts(settings, left(*LEFT), "job-0", 1)  # loads the library
    began = time.monotonic()
    try:
        kept = keep_artifacts(settings, Artifacts({}, found), "job-1", 1)
    finally:
        s3_server.process.resume()
    assert time.monotonic() - began < 5
    assert kept is not None
    assert [one["name"] for one in kept["files"]] == ["first"]
    assert kept["left_out"] == [{"name": f"{number}", "reason": tasks.NO_TIME} for number in range(20)]
