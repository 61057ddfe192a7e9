"""An S3 that takes connections and answers nothing holds nobody for longer than one request may take."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from pydantic import SecretStr

from ansible_api.errors import Unavailable
from ansible_api.objects import ObjectStore, open_store, s3
from ansible_api.settings import Settings
from tests.servers.s3 import S3Bucket, S3Server

pytestmark = pytest.mark.anyio
KEY = "jobs/job-1/log.txt"
MIB = 1024 * 1024


@pytest.fixture
async def store(s3_bucket: S3Bucket, s3_server: S3Server) -> AsyncIterator[ObjectStore]:
    settings = Settings(
        database_url=SecretStr("sqlite://"),
        redis_url=SecretStr("redis://"),
        master_key=SecretStr("1:"),
        s3_endpoint_url=s3_bucket.endpoint_url,
        s3_bucket=s3_bucket.name,
        s3_access_key_id=s3_bucket.access_key_id,
        s3_secret_access_key=SecretStr(s3_bucket.secret_access_key),
    )
    async with open_store(settings) as store:
        yield store
    s3_server.process.resume()


def pieces() -> Iterator[bytes]:
    yield from [b"x" * MIB] * 9


async def read(store: ObjectStore) -> bytes:
    return b"".join([block async for block in store.get(KEY)])


async def listed(store: ObjectStore) -> list[str]:
    return [key async for key in store.keys("jobs/")]


@pytest.mark.parametrize(
    "request_of",
    [
        lambda store: store.put(KEY, b"x"),
        lambda store: store.put(KEY, pieces()),
        read,
        lambda store: store.size(KEY),
        lambda store: store.delete(KEY),
        listed,
    ],
    ids=["put", "put in parts", "get", "size", "delete", "list"],
)
async def test_a_request_ends(
    store: ObjectStore,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    request_of: Callable[[ObjectStore], Awaitable[object]],
) -> None:
    monkeypatch.setattr(s3, "REQUEST_LIMIT", 0.3)
    s3_server.process.pause()
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await request_of(store)


async def test_an_upload_ends_that_had_begun_when_the_server_was_well(
    store: ObjectStore, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging() -> Iterator[bytes]:
        yield from pieces()
        s3_server.process.pause()
        yield from pieces()

    monkeypatch.setattr(s3, "REQUEST_LIMIT", 2.0)
    monkeypatch.setattr(s3, "ABORT_LIMIT", 0.3)
    async with asyncio.timeout(15):
        with pytest.raises(Unavailable):
            await store.put(KEY, hanging())
