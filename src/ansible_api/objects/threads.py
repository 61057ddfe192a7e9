"""Threads for calls that may hang for ever, as those on a shared directory do whose server has gone.

asyncio's own are joined when a loop ends and when the process does: one that hangs would hold both.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 16


class Threads:
    """A few daemon threads: calls beyond them wait, and one that nobody waits for any more is not begun."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = threading.Semaphore(0)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """What the call will give or raise."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        with self._lock:
            if not self._idle.acquire(blocking=False) and self._started < self._most:
                self._started += 1
                threading.Thread(target=self._work, name="objects", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            try:
                future, call = self._calls.get_nowait()
            except queue.Empty:
                self._idle.release()
                future, call = self._calls.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                    future.set_exception(error)
            del future, call


class _Process:
    """The threads of this process: stores come and go, and what hangs must not add up."""

    threads = Threads(MOST)


def _start_anew() -> None:
    _Process.threads = Threads(MOST)


os.register_at_fork(after_in_child=_start_anew)


def submit(call: Callable[[], T]) -> Future[T]:
    """Begin a call, also when others hang."""
    return _Process.threads.submit(call)


async def finished(call: Future[T], limit: Callable[[], float]) -> T:
    """What a call gives; TimeoutError when that takes longer than `limit()` seconds, which may grow meanwhile."""
    began, future = time.monotonic(), asyncio.wrap_future(call)
    try:
        while not future.done():
            left = began + limit() - time.monotonic()
            if left <= 0:
                raise TimeoutError
            await asyncio.wait({future}, timeout=left)
        return future.result()
    finally:
        future.cancel()
        call.cancel()
