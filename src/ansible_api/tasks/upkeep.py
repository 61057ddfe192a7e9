"""What every worker does every few seconds: repair whatever a lost message or a dead process left behind.

All statements are guarded, so two at once do no harm, and there is no leader.
"""

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import bootsteps

from ansible_api import telemetry
from ansible_api.db import Database
from ansible_api.deliveries import store as deliveries
from ansible_api.dispatch import CeleryQueue, JobQueue
from ansible_api.errors import Unavailable
from ansible_api.jobs import store
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Status
from ansible_api.logs import get_logger
from ansible_api.routing import Queue
from ansible_api.settings import Settings, load_settings
from ansible_api.tasks.worker import dead_jobs, unforked

UNCLOSED_AFTER = 15.0
DELIVERY_BACKLOG = 100  # messages beyond which repairs add none
log = get_logger(__name__)


class Upkeep:
    """The repairs; `tick` does each once."""

    def __init__(self, db: Database, queue: JobQueue, settings: Settings) -> None:
        self._db, self._queue, self._settings = db, queue, settings
        self._healthy_since: float | None = None

    def tick(self) -> None:
        """Do every repair; a part that is away delays those that need it to the next tick."""
        try:
            expired = self._db.read(store.expired)
        except Unavailable as error:
            self._healthy_since = None
            log.warning("upkeep waits for the database", error=error.detail)
            return
        self._healthy_since = self._healthy_since or time.monotonic()
        self._attempt(self._end_jobs_of_dead_children)
        if self._trusts_leases():
            for job in expired:
                self._attempt(partial(self._end, job))
        for repair in (self._send_due_webhooks, self._close_unclosed, self._republish):
            self._attempt(repair)

    def _attempt(self, repair: Callable[[], None]) -> None:
        try:
            repair()
        except Unavailable as error:
            log.warning("upkeep waits", error=error.detail)

    def _trusts_leases(self) -> bool:
        """Leases end only after this process has seen the database healthy for one whole lease: after an outage
        their owners get the time to renew them."""
        shortest = min(self._settings.lease_preparing, self._settings.lease_playing)
        return self._healthy_since is not None and time.monotonic() - self._healthy_since >= shortest

    def _end_jobs_of_dead_children(self) -> None:
        """A parent knows that its child died: no need to wait for the lease to run out."""
        while not dead_jobs.empty():
            job_id, owner = dead_jobs.get()
            try:
                self._db.write(store.expire_lease_of, job_id, owner)
                self._end(self._db.read(store.get, job_id))
            except Unavailable:
                dead_jobs.put((job_id, owner))
                raise

    def _end(self, job: Job | None) -> None:
        status = job and self._db.write(store.end_expired, job, max_attempts=self._settings.max_attempts)
        if job and status:
            log.warning("lease ended", job_id=job.id, attempt=job.attempt, status=status)
            self._follow_up(job, status)

    def _follow_up(self, job: Job, status: Status) -> None:
        if status is Status.QUEUED:
            self._queue.enqueue(job.id, attempt=job.attempt + 1, queue=Queue(job.queue), priority=job.priority)
        else:
            telemetry.JOBS_ENDED.labels(job.queue, status).inc()
            self._queue.close(job.id, attempt=job.attempt)

    def _send_due_webhooks(self) -> None:
        self._db.write(deliveries.release_held, self._settings.webhook_hold)
        due = self._db.read(deliveries.due)
        if due and self._delivery_keeps_up():
            for delivery_id in due:
                self._queue.deliver(delivery_id)

    def _close_unclosed(self) -> None:
        unclosed = self._db.read(store.unclosed, UNCLOSED_AFTER)
        if unclosed and self._delivery_keeps_up():
            for job in unclosed:
                self._queue.close(job.id, attempt=job.attempt)

    def _delivery_keeps_up(self) -> bool:
        """While nobody works on `delivery`, every round of every worker would add the same messages to it."""
        return self._queue.depth(Queue.DELIVERY) < DELIVERY_BACKLOG

    def _republish(self) -> None:
        """Publish again what waits too long, but never more messages than jobs wait."""
        by_queue: dict[str, list[Job]] = defaultdict(list)
        for job in self._db.read(store.waiting_unpublished, limit=500):
            by_queue[job.queue].append(job)
        for name, jobs in by_queue.items():
            missing = self._db.read(store.count_waiting, name) - self._queue.depth(Queue(name))
            for job in jobs[: max(missing, 0)]:
                if self._db.write(store.mark_republished, job, self._settings.republish_after):
                    self._queue.enqueue(job.id, attempt=job.attempt + 1, queue=Queue(name), priority=job.priority)


class UpkeepStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs upkeep in a thread of the worker's main process for as long as the worker lives."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()

    def start(self, parent: Any) -> None:
        settings = load_settings()
        upkeep = Upkeep(Database(settings.database_url.get_secret_value()), CeleryQueue(parent.app), settings)
        self._stop.clear()
        threading.Thread(target=self._run, args=(upkeep, settings.upkeep_interval), name="upkeep", daemon=True).start()

    def stop(self, parent: Any) -> None:
        self._stop.set()

    def _run(self, upkeep: Upkeep, interval: float) -> None:
        while not self._stop.wait(interval * (0.75 + secrets.randbelow(500) / 1000)):
            try:
                with unforked():  # the worker's main thread replaces children at any time
                    upkeep.tick()
            except Exception:
                log.exception("upkeep failed")
