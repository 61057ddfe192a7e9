"""The log of a job, before, while and after it runs."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.integration.api.conftest import JOB, Api, event

pytestmark = pytest.mark.anyio
TEXT = b"0123456789"


async def submitted(client: httpx.AsyncClient) -> str:
    accepted = await client.post("/api/v1/jobs", json=JOB)
    return str(accepted.headers["location"])


async def test_before_the_play_the_log_is_empty(api: Api) -> None:
    async with api.client() as client:
        address = await submitted(client)
        text = await client.get(f"{address}/logs")
        ndjson = await client.get(f"{address}/logs?format=ndjson")
    assert (text.status_code, text.content, text.headers["content-type"]) == (200, b"", "text/plain; charset=utf-8")
    assert (ndjson.content, ndjson.headers["content-type"]) == (b"", "application/x-ndjson")


@pytest.mark.parametrize("hot_limit", [4_000_000, 200], ids=["all in the stream", "most in segments"])
async def test_while_it_plays_the_log_has_what_is_there_so_far(api: Api, tmp_path: Path, hot_limit: int) -> None:
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.begin_play()
        with worker.publisher(tmp_path / "spool", hot_limit=hot_limit) as publisher:
            for seq in range(1, 51):
                publisher.append(event(seq))
            publisher.close()
        text = await client.get(f"{address}/logs")
        ndjson = await client.get(f"{address}/logs?format=ndjson")
        page = (await client.get(f"{address}/events?after=10&limit=5")).json()
        last = (await client.get(f"{address}/events?after=50")).json()
    assert text.text == "".join(f"line {seq}\n" for seq in range(1, 51))
    assert ndjson.text.splitlines() == [event(seq).to_json() for seq in range(1, 51)]
    assert [item["seq"] for item in page["items"]] == [11, 12, 13, 14, 15]
    assert page["next_after"] == 15
    assert last == {"items": [], "next_after": 50}


@pytest.mark.parametrize("form", ["text", "ndjson"])
@pytest.mark.parametrize("hot_limit", [4_000_000, 2_000, 1], ids=["in the stream", "half in segments", "in segments"])
async def test_a_growing_log_is_read_by_ranges_that_fit_what_will_be_stored(
    api: Api, tmp_path: Path, hot_limit: int, form: str
) -> None:
    events = [event(seq, result={"n": "ü" * (seq % 7)}) for seq in range(1, 61)]
    if form == "text":
        whole = "".join(f"line {seq}\n" for seq in range(1, 61)).encode()
    else:
        whole = b"".join(each.to_line() + b"\n" for each in events)
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.begin_play()

        async def part(wanted: str) -> httpx.Response:
            return await client.get(f"{address}/logs?format={form}", headers={"Range": f"bytes={wanted}"})

        async def poll() -> None:
            """As a client does that wants what is new."""
            answer = await part(f"{len(seen)}-")
            if answer.status_code == 206:
                assert answer.headers["content-range"] == f"bytes {len(seen)}-{len(seen) + len(answer.content) - 1}/*"
                seen.extend(answer.content)
            else:
                assert answer.status_code == 416
                assert answer.headers["content-range"] == f"bytes */{len(seen)}"

        seen = bytearray()
        await poll()
        with worker.publisher(tmp_path / "spool", hot_limit=hot_limit) as publisher:
            for each in events:
                await asyncio.to_thread(publisher.append, each)
                if each.seq % 7 == 0:
                    await poll()
                    assert whole.startswith(seen)
            await asyncio.to_thread(publisher.close)
        while len(seen) < len(whole):
            await poll()
        assert seen == whole
        await poll()
        for start, end in [(0, 0), (5, 100), (300, 301), (400, len(whole) - 1), (200, 10**9)]:
            answer = await part(f"{start}-{end}")
            last = min(end, len(whole) - 1)
            assert answer.headers["content-range"] == f"bytes {start}-{last}/*"
            assert answer.content == whole[start : last + 1]
        assert (await part("-30")).content == whole[-30:]
        worker.finish(last_seq=60, events=60)
        answer = await part("10-19")
        assert (answer.content, answer.headers["content-range"]) == (whole[10:20], f"bytes 10-19/{len(whole)}")


async def test_a_stored_log_comes_whole_or_in_part(api: Api) -> None:
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.begin_play()
        worker.finish()
        await worker.store("log", TEXT)
        whole = await client.get(f"{address}/logs")
        part = await client.get(f"{address}/logs", headers={"Range": "bytes=2-4"})
        tail = await client.get(f"{address}/logs", headers={"Range": "bytes=-3"})
        beyond = await client.get(f"{address}/logs", headers={"Range": "bytes=10-"})
        several = await client.get(f"{address}/logs", headers={"Range": "bytes=0-1,3-4"})
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, TEXT, "bytes")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert (tail.status_code, tail.content) == (206, b"789")
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == "bytes */10"
    assert (several.status_code, several.content) == (200, TEXT)


async def test_a_part_is_told_only_to_who_has_the_rest_of_the_same_log(api: Api) -> None:
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.finish()
        await worker.store("log", TEXT)
        etag = (await client.get(f"{address}/logs")).headers["etag"]

        async def part(if_range: str, wanted: str = "bytes=2-4") -> tuple[int, bytes]:
            got = await client.get(f"{address}/logs", headers={"Range": wanted, "If-Range": if_range})
            return got.status_code, got.content

        assert await part(etag) == (206, b"234")
        for other in ('"another"', f"W/{etag}", "Thu, 15 Jan 2026 10:00:00 GMT", ""):
            assert await part(other) == (200, TEXT)
        assert await part('"another"', "bytes=99-") == (200, TEXT)


async def test_of_a_log_that_grows_nobody_has_a_version(api: Api, tmp_path: Path) -> None:
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.begin_play()
        with worker.publisher(tmp_path / "spool") as publisher:
            publisher.append(event(1))
        whole = await client.get(f"{address}/logs", headers={"Range": "bytes=2-4", "If-Range": '"x"'})
    assert (whole.status_code, whole.content) == (200, b"line 1\n")


async def test_pages_of_large_events_are_short_and_have_them_all(api: Api) -> None:
    sizes = [*[700_000] * 12, 5_000_000, 1, 6_000_000]
    lines = [event(seq, result={"content": "x" * size}).to_line() + b"\n" for seq, size in enumerate(sizes, start=1)]
    pages, after = list[list[int]](), 0
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.finish(last_seq=len(lines), events=len(lines))
        await worker.store("events", b"".join(lines))
        while True:
            answer = await client.get(f"{address}/events?after={after}")
            page = answer.json()
            if not page["items"]:
                break
            pages.append([item["seq"] for item in page["items"]])
            after = page["next_after"]
            assert len(answer.content) < 4.1 * 1024 * 1024 or len(page["items"]) == 1
    assert pages == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12], [13], [14], [15]]


async def test_an_empty_stored_log_is_served(api: Api) -> None:
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.finish()
        await worker.store("log", b"")
        empty = await client.get(f"{address}/logs")
    assert (empty.status_code, empty.content) == (200, b"")


async def test_a_stored_log_that_is_gone_is_a_404(api: Api) -> None:
    async with api.client() as client:
        address = await submitted(client)
        worker = api.worker(address.rpartition("/")[2])
        worker.finish()
        await worker.store("log", TEXT)
        await api.parts.objects.delete(f"jobs/{worker.fence.job_id}/1/log.txt")
        gone = await client.get(f"{address}/logs")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_an_unknown_format_is_refused(api: Api) -> None:
    async with api.client() as client:
        refused = await client.get(f"{await submitted(client)}/logs?format=pdf")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/format")


async def test_a_log_in_s3_is_at_a_presigned_address(api_on_s3: Api) -> None:
    async with api_on_s3.client() as client, httpx.AsyncClient() as anybody:
        address = await submitted(client)
        worker = api_on_s3.worker(address.rpartition("/")[2])
        worker.finish()
        await worker.store("log", TEXT)
        moved = await client.get(f"{address}/logs")
        assert moved.status_code == 307
        assert moved.headers["cache-control"] == "no-store"
        fetched = await anybody.get(moved.headers["location"])
        part = await anybody.get(moved.headers["location"], headers={"Range": "bytes=2-4"})
    assert (fetched.status_code, fetched.content) == (200, TEXT)
    assert worker.fence.job_id in fetched.headers["content-disposition"]
    assert (part.status_code, part.content) == (206, b"234")
