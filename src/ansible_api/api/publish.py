"""Sending messages after the commit: from a few threads, within a time limit, not at all while the broker is away.

What is left out here is sent by upkeep: the rows say what waits.
"""

import time
from collections.abc import Callable

import anyio
from anyio import to_thread

from ansible_api.dispatch import JobQueue
from ansible_api.errors import Unavailable
from ansible_api.jobs.model import Job
from ansible_api.jobs.schemas import JobView
from ansible_api.logs import get_logger
from ansible_api.routing import Queue

THREADS = 4
PAUSE = 2.0  # without any attempt, after one that failed
log = get_logger(__name__)


class Publisher:
    """Tells the workers, if it can."""

    def __init__(self, queue: JobQueue, *, timeout: float) -> None:
        self._queue, self._timeout = queue, timeout
        self._turns, self._limiter = anyio.Semaphore(THREADS), anyio.CapacityLimiter(THREADS)
        self._resume_at = 0.0
        self._failures = 0

    async def enqueue(self, job_id: str, *, attempt: int, queue: Queue, priority: int) -> None:
        """A job waits."""
        await self._send(job_id, lambda: self._queue.enqueue(job_id, attempt=attempt, queue=queue, priority=priority))

    async def close(self, job: Job | JobView) -> None:
        """A job ended that no worker had."""
        await self._send(job.id, lambda: self._queue.close(job.id, attempt=job.attempt))

    async def deliver(self, delivery_id: str) -> None:
        """A webhook is due."""
        await self._send(delivery_id, lambda: self._queue.deliver(delivery_id))

    async def _send(self, subject: str, message: Callable[[], None]) -> None:
        if time.monotonic() < self._resume_at:
            return
        if self._resume_at:
            self._resume_at = time.monotonic() + self._timeout  # this one probes; others wait for what it finds
        reason, failures = "no answer in time", self._failures
        with anyio.move_on_after(self._timeout):
            async with self._turns:
                if self._failures != failures:  # while this one waited for its turn; a hung thread is not free yet
                    return
                try:
                    await to_thread.run_sync(message, abandon_on_cancel=True, limiter=self._limiter)
                except Unavailable as error:
                    reason = error.detail
                else:
                    self._resume_at = 0.0
                    return
        self._failures += 1
        self._resume_at = time.monotonic() + PAUSE
        log.warning("not published; upkeep will do it", subject=subject, reason=reason)
