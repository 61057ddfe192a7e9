"""The object store for logs, events and artifacts: a directory or an S3 bucket behind one Protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from ansible_api.errors import Unavailable
from ansible_api.objects.base import ObjectStore, Source, Stored, checked_key
from ansible_api.objects.directory import DirectoryStore
from ansible_api.settings import Settings

__all__ = ["PUT_LIMIT", "ObjectStore", "Source", "Stored", "checked_key", "open_store", "put_in_time", "with_store"]

T = TypeVar("T")
PUT_LIMIT = 10.0


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[ObjectStore]:
    """The store that the settings name, with its connections, for one event loop."""
    if settings.objects_dir is not None:
        yield DirectoryStore(settings.objects_dir)
        return
    # aioboto3 costs a second and 40 MB: a process that has no S3 must not pay for it.
    from ansible_api.objects.s3 import open_s3

    async with open_s3(settings) as store:
        yield store


def with_store(settings: Settings, work: Callable[[ObjectStore], Awaitable[T]], *, limit: float | None = None) -> T:
    """The result of `work(store)`, for code without an event loop: `with_store(settings, lambda s: s.put(…))`.

    Unavailable also when it takes longer than `limit` seconds.
    """

    async def run() -> T:
        try:
            async with asyncio.timeout(limit), open_store(settings) as store:
                return await work(store)
        except TimeoutError:
            raise Unavailable(f"the object store took longer than {limit:g} s") from None

    return asyncio.run(run())


async def put_in_time(store: ObjectStore, key: str, source: Source, limit: float = PUT_LIMIT) -> Stored:
    """`store.put` of something small; Unavailable also when the store is too slow for somebody who cannot wait."""
    try:
        async with asyncio.timeout(limit):
            return await store.put(key, source)
    except TimeoutError:
        raise Unavailable(f"the object store did not take an object within {limit:g} s") from None
