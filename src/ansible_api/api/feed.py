"""Tells the broker which jobs are next when a new one stands in line: one look at a time, however many are new."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ansible_api.api.publish import Publisher
from ansible_api.db import AsyncDatabase
from ansible_api.errors import Unavailable
from ansible_api.jobs import line
from ansible_api.jobs.line import Rules
from ansible_api.logs import get_logger
from ansible_api.routing import Queue
from ansible_api.settings import Settings

# After a look it pauses for so many times as long as that took: a flood of submissions is not to become one of looks.
PAUSES, LONGEST_PAUSE = 4, 0.25  # seconds
log = get_logger(__name__)


class Feeder:
    """What it leaves out, workers do when a job ends, and upkeep."""

    def __init__(self, db: AsyncDatabase, publisher: Publisher, settings: Settings) -> None:
        self._db, self._publisher, self._settings = db, publisher, settings
        self._wanted: set[Queue] = set()
        self._nudged, self._ends = asyncio.Event(), False

    def nudge(self, queue: Queue) -> None:
        """Have a look at the line of a queue soon."""
        self._wanted.add(queue)
        self._nudged.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It ends with what it does just now: nothing is broken off in the middle of a transaction."""
        task = asyncio.create_task(self._run(), name="feeder")
        try:
            yield
        finally:
            self._ends = True
            self._nudged.set()
            await task

    async def _run(self) -> None:
        while not self._ends:
            await self._nudged.wait()
            self._nudged.clear()
            while self._wanted:
                began = time.monotonic()
                await self._feed(self._wanted.pop())
                await asyncio.sleep(min(LONGEST_PAUSE, PAUSES * (time.monotonic() - began)))

    async def _feed(self, queue: Queue) -> None:
        try:
            rules = Rules.of(self._settings, queue)
            if chosen := await self._db.read(line.choose_next, queue, rules):
                for job in await self._db.write(line.publish, queue, chosen, rules):
                    await self._publisher.enqueue(job.id, attempt=job.attempt + 1, queue=queue, priority=job.priority)
        except Unavailable as error:
            log.warning("a line waits for upkeep", queue=queue, reason=error.detail)
        except Exception:
            log.exception("a line waits for upkeep", queue=queue)
