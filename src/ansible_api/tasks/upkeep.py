"""What every worker does every few seconds: repair whatever a lost message or a dead process left behind.

All statements are guarded, so two at once do no harm, and there is no leader.
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from celery import Celery, bootsteps
from sqlalchemy.orm import Session

from ansible_api import telemetry
from ansible_api.db import SHORT_SILENCE, Database
from ansible_api.deliveries import store as deliveries
from ansible_api.dispatch import CeleryQueue, JobQueue
from ansible_api.errors import Unavailable
from ansible_api.execution.workspace import kill_marked
from ansible_api.jobs import closing, repairs, store, workers
from ansible_api.jobs.model import Job
from ansible_api.jobs.repairs import DeadAttempt
from ansible_api.jobs.state import Status
from ansible_api.logs import get_logger
from ansible_api.routing import JOB_QUEUES, Queue
from ansible_api.settings import Settings, load_settings
from ansible_api.tasks import results
from ansible_api.tasks.drain import Drain, EndAfterOneJob
from ansible_api.tasks.feed import feed
from ansible_api.tasks.rescue import rescue
from ansible_api.tasks.results import Result
from ansible_api.tasks.retries import retries
from ansible_api.tasks.watched import WatchedDatabase
from ansible_api.tasks.worker import dead_attempts, node_name, one_job, shutdown, unforked

RESCUE_PAUSE = 30.0  # seconds
DELIVERY_BACKLOG = 100  # messages beyond which repairs add no closings, and no webhook twice
GLANCE = 0.2  # seconds between two looks at whether the worker leaves
SENT_AGAIN = 600.0  # seconds, as the broker's visibility timeout
log = get_logger(__name__)


class Upkeep:
    """The repairs; `tick` does each once."""

    def __init__(
        self,
        db: Database,
        queue: JobQueue,
        settings: Settings,
        presence: Callable[[Session], bool] | None = None,
        queues: Sequence[str] = JOB_QUEUES,
    ) -> None:
        """`presence` tells the database that this worker, which serves `queues`, is there; True: it shall take no more
        jobs.
        """
        self._lease = min(settings.lease_preparing, settings.lease_playing)
        self._db = WatchedDatabase(db, self._lease)
        self._queue, self._settings, self._presence = queue, settings, presence
        self._served = [name for name in JOB_QUEUES if name in queues]
        self.draining = False
        self._results = settings.state_dir / results.FOLDER
        self._rescue_at = 0.0
        self._sent: dict[str, float] = {}  # when this worker published the webhooks that are due

    def tick(self) -> None:
        """Do every repair; a part that is away delays those that need it to the next tick."""
        try:
            expired = self._db.read(repairs.expired)
        except Unavailable as error:
            log.warning("upkeep waits for the database", error=error.detail)
            return
        self._attempt(self._replay_results)  # before what they tell of is given up
        self._attempt(self._end_dead_attempts)
        if self._trusts_leases():
            for job in expired:
                if not results.lies_in(self._results, job.id, job.attempt):
                    self._attempt(partial(self._end, job))
        self._attempt(self._be_present)
        for repair in (self._send_due_webhooks, self._close_unclosed, self._republish, self._feed, self._rescue_logs):
            self._attempt(repair)

    def _attempt(self, repair: Callable[[], None]) -> None:
        try:
            repair()
        except Unavailable as error:
            log.warning("upkeep waits", error=error.detail)
        except Exception:  # one repair that fails must not keep the others from their work
            log.exception("upkeep failed")

    def _rescue_logs(self) -> None:
        """Last, because the object store may be slow; one that is away is left alone for a while."""
        if time.monotonic() < self._rescue_at:
            return
        try:
            rescue(self._db, self._settings)
        except Unavailable:
            self._rescue_at = time.monotonic() + RESCUE_PAUSE
            raise

    def _be_present(self) -> None:
        if self._presence:
            self.draining = self._db.write(self._presence)

    def _trusts_leases(self) -> bool:
        """Leases end only after this process has seen the database healthy for one whole lease: after an outage
        their owners get the time to renew them."""
        return self._db.healthy_for >= self._lease

    def _replay_results(self) -> None:
        def ended(result: Result) -> None:
            with suppress(Unavailable):  # upkeep closes what nobody has closed
                if (job := self._db.read(store.get, result.fence.job_id)) is not None:
                    self._follow_up(job, result.outcome.status)

        results.replay(self._results, self._db, ended)

    def _end_dead_attempts(self) -> None:
        """Their process is known to have died: no need to wait for the lease to run out."""
        for _ in range(dead_attempts.qsize()):
            dead = dead_attempts.get()
            try:
                ended = self._end_dead(dead)
            except BaseException:
                dead_attempts.put(dead)
                raise
            if not ended:
                dead_attempts.put(dead)

    def _end_dead(self, dead: DeadAttempt) -> bool:
        """False: its result waits to be written, or a process of its play is still there."""
        job = self._db.read(store.get, dead.job_id)
        if job is None or not dead.is_of(job):
            return True
        if results.lies_in(self._results, job.id, job.attempt) or not kill_marked(f"{job.id}.{job.attempt}"):
            return False
        self._end(self._db.write(repairs.expire_lease_of, dead))
        return True

    def _end(self, job: Job | None) -> None:
        if job is None:
            return
        policy = retries(self._settings, job.queue)
        # The first time at once: it was the worker. After that it may be the job.
        pause = policy.pause(job.failures) if job.failures else 0.0
        status = self._db.write(repairs.end_expired, job, max_attempts=policy.max_attempts, pause=pause)
        if status:
            with unforked():
                telemetry.LEASES_LOST.inc()
            log.warning("lease ended", status=status, **job.log_fields)
            self._follow_up(job, status)

    def _follow_up(self, job: Job, status: Status) -> None:
        if status is not Status.QUEUED:
            self._queue.close(job.id, attempt=job.attempt)

    def _send_due_webhooks(self) -> None:
        if held := self._db.read(deliveries.held, self._settings.webhook_hold):
            self._db.write(deliveries.release_held, held)
        due = self._db.read(deliveries.due)
        now = time.monotonic()
        # They overtake the uploads that keep `delivery` busy, but nobody may be there to take them.
        sent = {} if not due or self._delivery_keeps_up() else self._sent
        fresh = {one: now for one in due if sent.get(one, -SENT_AGAIN) <= now - SENT_AGAIN}
        for delivery_id in fresh:
            self._queue.deliver(delivery_id)
        self._sent = {one: sent[one] for one in due if one in sent} | fresh

    def _close_unclosed(self) -> None:
        unclosed = self._db.read(closing.unclosed)
        if unclosed and self._delivery_keeps_up():
            for job in unclosed:
                if self._db.write(closing.mark_closing, job):
                    self._queue.close(job.id, attempt=job.attempt)

    def _delivery_keeps_up(self) -> bool:
        """While nobody works on `delivery`, every round of every worker would add the same messages to it."""
        return self._queue.depth(Queue.DELIVERY) < DELIVERY_BACKLOG

    def _republish(self) -> None:
        """Publish again the jobs whose message was lost."""
        for name in self._db.read(repairs.unclaimed):
            if name not in JOB_QUEUES:  # of a newer version
                continue
            messages = self._queue.depth(Queue(name))
            for job in self._db.read(repairs.unpublished, name, messages=messages):
                if self._db.write(repairs.mark_republished, job, self._settings.republish_after):
                    self._queue.enqueue(job.id, attempt=job.attempt + 1, queue=Queue(name), priority=job.priority)

    def _feed(self) -> None:
        """What other hands do at once: jobs whose pause is over, or whom nobody told the broker of. Where no worker
        serves a queue, there is nothing to tell.
        """
        feed(self._db, self._queue, self._settings, self._served)


class UpkeepStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs upkeep in a thread of the worker's main process for as long as the worker lives."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._db: Database | None = None

    def start(self, parent: Any) -> None:
        settings = load_settings()
        self._db = Database(settings.database_url.get_secret_value(), silence=SHORT_SILENCE)
        drain, queues = Drain(parent), _queues(parent.app)

        def presence(session: Session) -> bool:
            slots = 0 if drain.begun or shutdown.begun else parent.concurrency
            return workers.register(session, node_name(), queues, slots)

        upkeep = Upkeep(self._db, CeleryQueue(parent.app, unforked()), settings, presence, queues)
        end = EndAfterOneJob(drain, settings.state_dir) if one_job.asked_for else None
        self._stop.clear()
        arguments = (upkeep, settings.upkeep_interval, drain, end)
        threading.Thread(target=self._run, args=arguments, name="upkeep", daemon=True).start()

    def stop(self, parent: Any) -> None:
        self._stop.set()
        if self._db is not None:
            with suppress(Unavailable):  # it will be silent, which says the same
                self._db.write(workers.forget, node_name())

    def _run(self, upkeep: Upkeep, interval: float, drain: Drain, end: EndAfterOneJob | None) -> None:
        pause, due, left = 0.0, 0.0, False
        while not self._stop.wait(pause):
            pause = GLANCE
            try:
                if end is not None and not shutdown.begun:
                    end.check()
                leaves = drain.begun or shutdown.begun
                if time.monotonic() < due and leaves == left:
                    continue
                # At once when the worker begins to leave: from then on its slots are free for nobody.
                due, left = time.monotonic() + interval * (0.75 + secrets.randbelow(500) / 1000), leaves
                upkeep.tick()
                if upkeep.draining:
                    drain.begin()
            except Exception:
                log.exception("upkeep failed")


def _queues(app: Celery) -> list[str]:
    """What this worker was told to serve."""
    return sorted(app.amqp.queues.consume_from)
