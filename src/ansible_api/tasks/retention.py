"""Removes what has had its time: logs and files from the object store, then rows, then the keys of old requests.

Runs in workers that serve `delivery`, in a thread of its own: the object store may be slow, and leases must not wait
for it. Several at once take different jobs.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from celery import bootsteps

from ansible_api.db import SHORT_SILENCE, Database
from ansible_api.deliveries import store as deliveries
from ansible_api.errors import Unavailable
from ansible_api.events import keys
from ansible_api.jobs import retention
from ansible_api.logs import get_logger
from ansible_api.objects import ObjectStore, in_time, with_store
from ansible_api.routing import Queue
from ansible_api.settings import Settings, load_settings
from ansible_api.tasks.watched import WatchedDatabase

BATCH = 100  # jobs
ROWS_AT_ONCE = 1000  # of the small tables
JOBS_AT_ONCE = 8  # whose objects go side by side
CHECK_LIMIT = 10.0  # seconds for a sign that the object store is there
LIMIT = 30.0  # seconds for the objects of one batch; what is left is taken again
PAUSE, BUSY_PAUSE = 60.0, 1.0  # seconds after a batch: the shorter one when there is more to do
log = get_logger(__name__)


class Retention:
    """Does one small batch at a time."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db, self._settings, self._turns = db, settings, count()

    def round(self) -> bool:
        """Remove a batch; True: there may be more. Unavailable: database or object store are away."""
        gone = self._forget()
        with_store(self._settings, lambda objects: objects.check(CHECK_LIMIT))  # else jobs would be taken in vain
        taken = self._take()
        if taken:
            emptied, trouble = with_store(self._settings, lambda objects: _empty(objects, taken))
            removed = self._settle(emptied) if emptied else 0
            log.info("expired", jobs=len(taken), emptied=len(emptied), removed=removed)
            if trouble is not None:
                raise trouble
        return len(taken) == BATCH or gone == ROWS_AT_ONCE

    def _forget(self) -> int:
        """Remove old rows of the small tables; returns how many of one, at most ROWS_AT_ONCE."""
        return max(
            self._db.write(retention.forget_keys, days=self._settings.retain_keys_days, limit=ROWS_AT_ONCE),
            self._db.write(retention.forget_repositories, limit=ROWS_AT_ONCE),
            self._db.write(retention.forget_turns, limit=ROWS_AT_ONCE),
        )

    def _take(self) -> Sequence[str]:
        days = {"logs_days": self._settings.retain_logs_days, "jobs_days": self._settings.retain_jobs_days}
        return self._db.write(retention.take, **days, limit=BATCH, turn=next(self._turns))

    def _settle(self, emptied: Sequence[str]) -> int:
        """Remove the rows of those jobs whose own time is over, too, unless a webhook is still to be sent."""
        old = self._db.write(retention.emptied, emptied, jobs_days=self._settings.retain_jobs_days)
        unsettled = self._db.read(deliveries.unsettled, old) if old else ()
        if unsettled:
            self._db.write(retention.postpone, unsettled)
        gone = [job_id for job_id in old if job_id not in unsettled]
        for job_id in gone:
            while not self._db.write(retention.remove, job_id):
                pass
        return len(gone)


async def _empty(objects: ObjectStore, job_ids: Sequence[str]) -> tuple[list[str], Exception | None]:
    """Remove all objects of these jobs; returns those of which nothing is left, and what first kept another."""
    emptied, trouble, deadline = list[str](), None, time.monotonic() + LIMIT
    for start in range(0, len(job_ids), JOBS_AT_ONCE):
        some = job_ids[start : start + JOBS_AT_ONCE]
        work = (in_time(_empty_one(objects, job_id), LIMIT) for job_id in some)
        became = await asyncio.gather(*work, return_exceptions=True)
        emptied += [job_id for job_id, error in zip(some, became, strict=True) if error is None]
        trouble = trouble or next((error for error in became if isinstance(error, Exception)), None)
        if time.monotonic() > deadline:
            break
    return emptied, trouble


async def _empty_one(objects: ObjectStore, job_id: str) -> None:
    for key in [key async for key in objects.keys(keys.of_job(job_id))]:
        await objects.delete(key)


class RetentionStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs retention for as long as a worker lives that serves `delivery`."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()

    def start(self, parent: Any) -> None:
        if Queue.DELIVERY not in parent.app.amqp.queues.consume_from:
            return
        settings = load_settings()
        db = Database(settings.database_url.get_secret_value(), silence=SHORT_SILENCE)
        self._stop.clear()
        work = Retention(WatchedDatabase(db, settings.lease_playing), settings)
        threading.Thread(target=self._run, args=(work,), name="retention", daemon=True).start()

    def stop(self, parent: Any) -> None:
        self._stop.set()

    def _run(self, work: Retention) -> None:
        pause = PAUSE * secrets.randbelow(1000) / 1000  # workers that were started together
        while not self._stop.wait(pause):
            more = False
            try:
                more = work.round()
            except Unavailable as error:
                log.warning("retention waits", error=error.detail)
            except Exception:
                log.exception("retention failed")
            pause = (BUSY_PAUSE if more else PAUSE) * (0.75 + secrets.randbelow(500) / 1000)
