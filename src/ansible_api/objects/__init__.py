"""The object store for logs, events and artifacts: a directory or an S3 bucket behind one Protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ansible_api.errors import Unavailable
from ansible_api.objects.base import ObjectStore, Source, Stored, checked_key
from ansible_api.objects.directory import DirectoryStore
from ansible_api.settings import Settings

__all__ = [
    "PUT_LIMIT",
    "ObjectStore",
    "Source",
    "Stored",
    "checked_key",
    "in_time",
    "open_store",
    "put_in_time",
    "run_unjoined",
    "with_store",
]

T = TypeVar("T")
PUT_LIMIT = 10.0


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[ObjectStore]:
    """The store that the settings name, with its connections, for one event loop."""
    if settings.objects_dir is not None:
        yield await DirectoryStore.open(settings.objects_dir)
        return
    # aioboto3 costs a second and 40 MB: a process that has no S3 must not pay for it.
    from ansible_api.objects.s3 import open_s3

    async with open_s3(settings) as store:
        yield store


def with_store(settings: Settings, work: Callable[[ObjectStore], Awaitable[T]]) -> T:
    """The result of `work(store)`, for code without an event loop: `with_store(settings, lambda s: s.put(…))`."""

    async def run() -> T:
        async with open_store(settings) as store:
            return await work(store)

    return run_unjoined(run())


def run_unjoined(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but a name that is still being resolved in the end is not waited for."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Unjoined())
        return runner.run(work)


class _Unjoined(ThreadPoolExecutor):
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)


async def in_time(work: Awaitable[T], limit: float) -> T:
    """The result of some work with the store; Unavailable also when it takes longer than somebody can wait."""
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        raise Unavailable(f"the object store took longer than {limit:g} s") from None


async def put_in_time(store: ObjectStore, key: str, source: Source, limit: float = PUT_LIMIT) -> Stored:
    """`store.put` of something small, `in_time`."""
    return await in_time(store.put(key, source), limit)
