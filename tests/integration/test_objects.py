"""Both object stores, the directory and S3, keep one promise."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from ansible_api.errors import InvalidRequest, NotFound, Unavailable
from ansible_api.objects import ObjectStore, Stored, open_store, with_store
from ansible_api.objects.s3 import create_bucket
from ansible_api.settings import Settings
from tests.servers.processes import free_port
from tests.servers.s3 import S3Bucket, S3Server
from tests.waiting import wait_for

pytestmark = pytest.mark.anyio
KEY = "jobs/job-1/log.txt"
MIB = 1024 * 1024


def settings_for(**parts: object) -> Settings:
    return Settings(database_url="sqlite://", redis_url="redis://", master_key="1:", **parts)


def s3_settings(bucket: S3Bucket, **changed: object) -> Settings:
    parts = {
        "s3_endpoint_url": bucket.endpoint_url,
        "s3_bucket": bucket.name,
        "s3_access_key_id": bucket.access_key_id,
        "s3_secret_access_key": bucket.secret_access_key,
    }
    return settings_for(**(parts | changed))


@pytest.fixture(params=["directory", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "directory":
        return settings_for(objects_dir=tmp_path / "objects")
    return s3_settings(request.getfixturevalue("s3_bucket"))


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[ObjectStore]:
    async with open_store(settings) as store:
        yield store


async def read(store: ObjectStore, key: str, start: int | None = None, end: int | None = None) -> bytes:
    return b"".join([block async for block in store.get(key, start, end)])


async def listed(store: ObjectStore, prefix: str = "") -> list[str]:
    return [key async for key in store.keys(prefix)]


async def download(url: str | None, headers: dict[str, str] | None = None) -> httpx.Response:
    assert url
    async with httpx.AsyncClient() as client:
        return await client.get(url, headers=headers)


def pieces(size: int) -> Iterator[bytes]:
    for number in range(size // MIB):
        yield bytes([number % 256]) * MIB


class TestEveryStore:
    async def test_gives_back_what_it_was_given(self, store: ObjectStore):
        await store.put(KEY, b"one\ntwo\n")
        assert await read(store, KEY) == b"one\ntwo\n"

    async def test_says_size_and_digest_of_what_it_wrote(self, store: ObjectStore):
        stored = await store.put(KEY, b"one\ntwo\n")
        assert stored == Stored(8, hashlib.sha256(b"one\ntwo\n").hexdigest())
        assert await store.size(KEY) == 8

    async def test_takes_a_file(self, store: ObjectStore, tmp_path: Path):
        (tmp_path / "log").write_bytes(b"from a file")
        await store.put(KEY, tmp_path / "log")
        assert await read(store, KEY) == b"from a file"

    async def test_takes_pieces_of_any_size(self, store: ObjectStore):
        await store.put(KEY, iter([b"a", b"", b"b" * 600_000, b"c"]))
        assert await read(store, KEY) == b"a" + b"b" * 600_000 + b"c"

    async def test_keeps_an_empty_object(self, store: ObjectStore):
        await store.put(KEY, b"")
        assert (await store.size(KEY), await read(store, KEY)) == (0, b"")

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (0, 1, b"0"),
            (3, 7, b"3456"),
            (8, None, b"89"),
            (None, 2, b"01"),
            (8, 99, b"89"),
            (10, None, b""),
            (3, 3, b""),
        ],
    )
    async def test_gives_a_range_as_a_slice(
        self, store: ObjectStore, start: int | None, end: int | None, expected: bytes
    ):
        await store.put(KEY, b"0123456789")
        assert await read(store, KEY, start, end) == expected

    async def test_keeps_a_large_object_that_comes_in_pieces(self, store: ObjectStore):
        stored = await store.put(KEY, pieces(20 * MIB))
        digest = hashlib.sha256()
        async for block in store.get(KEY):
            digest.update(block)
        assert (stored.size, await store.size(KEY), stored.sha256) == (20 * MIB, 20 * MIB, digest.hexdigest())
        assert await read(store, KEY, 19 * MIB - 1, 19 * MIB + 1) == bytes([18, 19])

    async def test_lists_the_keys_with_a_prefix_in_order(self, store: ObjectStore):
        for key in ("jobs/2/log", "jobs/1/log", "jobs/1/events/000002", "jobs/10/log"):
            await store.put(key, b"x")
        assert await listed(store, "jobs/1") == ["jobs/1/events/000002", "jobs/1/log", "jobs/10/log"]
        assert await listed(store, "jobs/1/") == ["jobs/1/events/000002", "jobs/1/log"]
        assert await listed(store, "other/") == []
        assert len(await listed(store)) == 4

    async def test_takes_names_that_people_give_to_files(self, store: ObjectStore):
        key = "jobs/1/artifacts/Bericht für März 100% + #1?.txt"
        await store.put(key, b"x")
        assert (await listed(store), await read(store, key)) == ([key], b"x")

    async def test_does_not_find_what_is_not_there(self, store: ObjectStore):
        await store.put("jobs/1/log", b"x")
        for key in (KEY, "jobs/1", "jobs/1/log/more"):
            with pytest.raises(NotFound):
                await read(store, key)
            with pytest.raises(NotFound):
                await store.size(key)

    async def test_deletes_once_or_twice_alike(self, store: ObjectStore):
        await store.put(KEY, b"x")
        await store.delete(KEY)
        await store.delete(KEY)
        assert await listed(store) == []
        with pytest.raises(NotFound):
            await store.size(KEY)

    async def test_a_reader_sees_the_old_or_the_new_object_whole(self, store: ObjectStore):
        old, new = b"a" * 300_000, b"b" * 400_000
        await store.put(KEY, old)
        writing = asyncio.create_task(store.put(KEY, new))
        seen = {await read(store, KEY)}
        while not writing.done():
            seen.add(await read(store, KEY))
        assert seen <= {old, new}
        assert await read(store, KEY) == new

    async def test_a_writer_that_fails_leaves_the_old_object(self, store: ObjectStore):
        def failing() -> Iterator[bytes]:
            yield from pieces(9 * MIB)
            raise ValueError("the source is broken")

        await store.put(KEY, b"old")
        with pytest.raises(ValueError, match="the source is broken"):
            await store.put(KEY, failing())
        assert (await read(store, KEY), await listed(store)) == (b"old", [KEY])

    async def test_writers_and_deleters_of_neighbours_do_not_disturb_each_other(self, store: ObjectStore):
        async def come_and_go(name: str) -> None:
            for _ in range(15):
                await store.put(f"jobs/1/{name}", b"x")
                await store.delete(f"jobs/1/{name}")

        await asyncio.gather(*(come_and_go(name) for name in "abcd"))
        assert await listed(store) == []

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/./b",
            "a//b",
            "a/",
            ".unfinished/x",
            "a\\b",
            "a\x00b",
            "a\nb",
            "a\ud800b",
            "x" * 256,
            "/".join(["x" * 200] * 6),
        ],
    )
    async def test_refuses_a_key_that_could_mean_something_else(self, store: ObjectStore, key: str):
        calls = [store.put(key, b"x"), read(store, key), store.size(key), store.delete(key), store.presign(key, 1, "x")]
        for call in calls:
            with pytest.raises(InvalidRequest):
                await call

    async def test_refuses_a_prefix_that_leads_out(self, store: ObjectStore):
        for prefix in ("/", "../", "a/../..", ".unfinished/"):
            with pytest.raises(InvalidRequest):
                await listed(store, prefix)

    async def test_is_ready(self, store: ObjectStore):
        await store.check()

    def test_serves_code_without_an_event_loop(self, settings: Settings):
        with_store(settings, lambda store: store.put(KEY, b"x"))
        assert with_store(settings, lambda store: store.size(KEY)) == 1

    async def test_says_so_when_the_storage_is_away(self, gone: ObjectStore, tmp_path: Path):
        began = time.monotonic()
        for call in (gone.put(KEY, b"x"), read(gone, KEY), gone.size(KEY), listed(gone), gone.check()):
            with pytest.raises(Unavailable):
                await call
        assert time.monotonic() - began < 30

    @pytest.fixture(params=["directory", "s3"])
    async def gone(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
        if request.param == "s3":
            nowhere = S3Bucket(f"http://127.0.0.1:{free_port()}", "bucket")
            async with open_store(s3_settings(nowhere)) as store:
                yield store
            return
        async with open_store(settings_for(objects_dir=tmp_path / "objects")) as store:
            (tmp_path / "objects").rename(tmp_path / "unmounted")
            yield store


class TestDirectory:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "objects"

    @pytest.fixture
    async def store(self, root: Path) -> AsyncIterator[ObjectStore]:
        async with open_store(settings_for(objects_dir=root)) as store:
            yield store

    def test_nobody_else_on_the_machine_can_read_it(self, root: Path):
        before = os.umask(0)
        try:
            with_store(settings_for(objects_dir=root), lambda store: store.put(KEY, b"x"))
        finally:
            os.umask(before)
        found = subprocess.check_output(["find", str(root), "-printf", "%M\\n"], text=True)
        assert set(found.split()) == {"drwx------", "-rw-------"}

    async def test_leaves_no_empty_directories(self, store: ObjectStore, root: Path):
        await store.put(KEY, b"x")
        await store.delete(KEY)
        assert not (root / "jobs").exists()

    async def test_removes_what_a_killed_writer_left_a_day_ago(self, store: ObjectStore, root: Path):
        old, new = root / ".unfinished" / "old", root / ".unfinished" / "new"
        old.write_bytes(b"x")
        new.write_bytes(b"x")
        os.utime(old, (0, 0))
        async with open_store(settings_for(objects_dir=root)):
            assert (old.exists(), new.exists()) == (False, True)

    async def test_has_no_urls(self, store: ObjectStore):
        await store.put(KEY, b"x")
        assert await store.presign(KEY, 60, "log.txt") is None

    def test_costs_no_s3_client(self, root: Path):
        code = (
            "import sys; from pathlib import Path; from ansible_api import objects; from ansible_api.settings import *;"
            f"s = Settings(database_url='x', redis_url='x', master_key='x', objects_dir=Path({str(root)!r}));"
            "objects.with_store(s, lambda store: store.put('a', b'b'));"
            "assert not {'aioboto3', 'botocore', 'aiohttp'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestS3:
    @pytest.fixture
    async def store(self, s3_bucket: S3Bucket) -> AsyncIterator[ObjectStore]:
        async with open_store(s3_settings(s3_bucket)) as store:
            yield store

    def test_its_first_use_imports_nothing(self):
        code = (
            "import sys; from ansible_api.objects import s3, with_store; from ansible_api.settings import Settings\n"
            "s = Settings(database_url='x', redis_url='x', master_key='x', s3_bucket='b', s3_access_key_id='k',\n"
            f"    s3_secret_access_key='s', s3_endpoint_url='http://localhost:{free_port()}')\n"
            "before = set(sys.modules)\n"
            "try: with_store(s, lambda store: store.put('a', b'b'))\n"
            "except Exception: pass\n"
            "print(*sorted(set(sys.modules) - before))"
        )
        assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == []

    async def test_a_presigned_url_downloads_the_object_under_its_name(self, store: ObjectStore):
        await store.put(KEY, b"the log")
        answer = await download(await store.presign(KEY, 60, 'job "1" é.txt'))
        assert (answer.status_code, answer.content) == (200, b"the log")
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''job%20%221%22%20%C3%A9.txt"

    async def test_a_presigned_url_serves_ranges(self, store: ObjectStore):
        await store.put(KEY, b"the log")
        answer = await download(await store.presign(KEY, 60, "log.txt"), {"Range": "bytes=4-"})
        assert (answer.status_code, answer.content) == (206, b"log")

    async def test_a_presigned_url_expires(self, store: ObjectStore):
        await store.put(KEY, b"the log")
        url = await store.presign(KEY, 1, "log.txt")
        wait_for(lambda: httpx.get(url).status_code == 403, interval=0.2, message="the URL still works")

    async def test_a_presigned_url_cannot_be_changed(self, store: ObjectStore):
        await store.put(KEY, b"the log")
        await store.put("jobs/job-2/log.txt", b"another team's log")
        url = await store.presign(KEY, 60, "log.txt")
        for changed in (url.replace("job-1", "job-2"), url.replace("Expires=60", "Expires=600"), url[:-1] + "z"):
            assert changed != url
            assert (await download(changed)).status_code == 403

    async def test_an_upload_that_fails_leaves_no_parts_behind(self, store: ObjectStore, s3_bucket: S3Bucket):
        def failing() -> Iterator[bytes]:
            yield from pieces(20 * MIB)
            raise ValueError("the source is broken")

        with pytest.raises(ValueError, match="the source is broken"):
            await store.put(KEY, failing())
        uploads = await store._client.list_multipart_uploads(Bucket=s3_bucket.name)
        assert uploads.get("Uploads", []) == []

    async def test_a_wrong_secret_is_storage_that_is_away(self, s3_bucket: S3Bucket):
        async with open_store(s3_settings(s3_bucket, s3_secret_access_key="wrong")) as store:
            with pytest.raises(Unavailable, match="SignatureDoesNotMatch"):
                await store.put(KEY, b"x")
            with pytest.raises(Unavailable):
                await store.check()

    async def test_a_missing_bucket_is_not_ready(self, s3_bucket: S3Bucket):
        async with open_store(s3_settings(s3_bucket, s3_bucket="no-such-bucket")) as store:
            with pytest.raises(Unavailable):
                await store.check()

    async def test_a_bucket_is_made_once_and_then_takes_objects(self, s3_bucket: S3Bucket):
        settings = s3_settings(s3_bucket, s3_bucket="made-by-us")
        assert await create_bucket(settings) is True
        assert await create_bucket(settings) is False
        async with open_store(settings) as store:
            await store.check()

    async def test_a_bucket_is_not_made_with_a_wrong_secret(self, s3_bucket: S3Bucket):
        with pytest.raises(Unavailable, match="SignatureDoesNotMatch"):
            await create_bucket(s3_settings(s3_bucket, s3_bucket="not-ours", s3_secret_access_key="wrong"))

    async def test_a_server_that_hangs_is_not_ready_and_holds_nobody(self, store: ObjectStore, s3_server: S3Server):
        s3_server.process.pause()
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"within 0\.3 s"):
            await store.check(limit=0.3)
        s3_server.process.resume()
        assert time.monotonic() - began < 2
        await store.check(limit=10)
