"""The task that runs a job: claim, prepare, play, record, have the log stored."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from celery import shared_task

from ansible_api import telemetry
from ansible_api.errors import JobError, LeaseLost, TransientJobError, Unavailable
from ansible_api.events.publish import Publisher, mark_end
from ansible_api.events.spool import path_of
from ansible_api.execution.artifacts import Artifacts
from ansible_api.execution.execute import PhaseStarted, Stopped, execute
from ansible_api.execution.preparation import Assignment
from ansible_api.execution.sandbox import Guard
from ansible_api.execution.verdict import Outcome
from ansible_api.jobs import line, repositories, store
from ansible_api.jobs.model import Job
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Phase, Status, StopReason
from ansible_api.jobs.store import Fence, Return
from ansible_api.logs import get_logger
from ansible_api.objects import put_in_time, with_store
from ansible_api.routing import TaskName
from ansible_api.tasks import results
from ansible_api.tasks.artifacts import keep_artifacts
from ansible_api.tasks.feed import feed, queues_after
from ansible_api.tasks.heartbeat import Heartbeat, Progress
from ansible_api.tasks.results import Kept, Result
from ansible_api.tasks.retries import retries
from ansible_api.tasks.secrets import open_secrets
from ansible_api.tasks.trace import AttemptTrace
from ansible_api.tasks.worker import Worker, current, one_job, shutdown

T = TypeVar("T")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
GUARDED_SHARE = 0.8  # of an unrenewed lease, then a play that may run again is over
PATIENCE = 900.0  # seconds that a result waits here for a database that is away
KEPT_PATIENCE = 60.0  # when it is on disk, too: then upkeep writes it, and the slot is free
log = get_logger(__name__)


@shared_task(name=TaskName.RUN_JOB, Request="ansible_api.tasks.request:JobRequest")
def run_job(job_id: str) -> None:
    """Run a job if it still waits; a repeated or late message does nothing."""
    worker = current()
    job = None
    if not one_job.enough:
        job = worker.db.write(store.claim, job_id, worker.owner, worker.settings.lease_preparing)
    if job is None:
        worker.db.write(line.put_back, job_id)
        return
    one_job.begin(job.id, job.attempt)
    with structlog.contextvars.bound_contextvars(**job.log_fields):
        log.info("attempt began")
        attempt = Attempt(worker, job)
        end = attempt.run()
        attempt.record(end)
        with suppress(Unavailable):  # upkeep does it
            feed(worker.db, worker.queue, worker.settings, queues_after(worker.db, job))


End = Outcome | Return | None  # Return: it shall wait again; None: the job is no longer ours, write nothing


class Attempt:
    """One attempt at a job, from claim to recorded end."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker, self._job = worker, job
        self._fence = Fence(job.id, job.attempt, worker.owner)
        self._reruns = job.spec["options"].get("on_worker_loss") == "rerun"
        self._progress = Progress()
        self._timings = {Phase.QUEUED.value: _seconds(job)}
        self._phase_began = time.monotonic()
        self._phase = Phase.SOURCE
        self._trace = AttemptTrace(job)
        self._outcome: Outcome | None = None
        self._kept: Kept | None = None
        self._heartbeat = Heartbeat(worker.db, self._fence, self._progress, worker.settings, shutdown)

    def run(self) -> End:
        """Execute, and turn whatever happens into an end."""
        self._heartbeat.start()
        try:
            return self._execute()
        except LeaseLost:
            log.warning("the job is no longer ours")
            return None
        except Stopped as stop:
            return self._stopped(stop.reason)
        except TransientJobError as error:
            return self._again_or_error(error)
        except JobError as error:
            return _error(error)
        except Exception as error:  # noqa: BLE001 - told apart and logged there
            return self._unexpected(error)
        finally:
            self._heartbeat.stop()
            self._end_phase()

    def _unexpected(self, error: Exception) -> End:
        """Trouble after the play changes nothing of its outcome; an outage or a full disk before it may pass."""
        if self._outcome is not None:
            log.exception("trouble after the play")
            return self._outcome
        playing = self._heartbeat.phase is Phase.PLAYING
        if isinstance(error, Unavailable) and not playing:
            return self._again(error)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            log.warning("no room for the job", error=str(error))
            full = TransientJobError("worker_disk_full", f"the worker has no room for the job: {error.strerror}")
            return _error(full) if playing else self._again_or_error(full)
        log.exception("internal error")
        return Outcome(Status.ERROR, None, "internal_error", "something went wrong in the service; see its log")

    def record(self, end: End) -> None:
        """Write the end, then have the log stored; lost messages and what cannot be written are left to upkeep."""
        try:
            self._write(end)
        finally:
            if self._kept:
                self._kept.leave()
            self._trace.end(*_in_short(end))

    def _write(self, end: End) -> None:
        match end:
            case Outcome():
                self._record_outcome(end)
            case Return():
                status = _persist(lambda: self._worker.db.write(store.hand_back, self._fence, end), PATIENCE)
                log.info("attempt handed back", reason=end.message, pause=end.pause, status=status)
                if status is Status.CANCELED:
                    self._announce(status)
            case None:
                pass

    def _record_outcome(self, outcome: Outcome) -> None:
        result = self._result(outcome)
        kept = self._kept
        ended = _persist(lambda: results.record(self._worker.db, result), KEPT_PATIENCE if kept else PATIENCE)
        if kept and ended is not None:
            kept.drop()
        if ended:
            self._announce(outcome.status)

    def _result(self, outcome: Outcome) -> Result:
        """All that is to be written at the end; it stays due until it is."""
        values, hosts = self._progress.take()
        self._progress.put_back(values, hosts)
        values |= {"timings": dict(self._timings), "events": self._progress.last_seq}
        return Result(self._fence, outcome, values, hosts)

    def _conclude(self, outcome: Outcome, found: Artifacts) -> None:
        """The play is over: keep its result first, then what it left."""
        self._keep(outcome)
        if self._heartbeat.reason is StopReason.LEASE_LOST:
            return  # what is stored now would be nobody's
        try:
            kept = keep_artifacts(self._worker.settings, found, self._job.id, self._job.attempt)
        except Exception:  # how the job ended matters more
            log.exception("artifacts could not be kept")
        else:
            self._progress.set(artifacts=kept)

    def _keep(self, outcome: Outcome) -> None:
        """The result is on disk before anything else can go wrong."""
        self._outcome = outcome
        self._end_phase()
        self._phase = Phase.FINISHING
        self._trace.phase(Phase.FINISHING)
        try:
            self._kept = Kept(self._worker.settings.state_dir / results.FOLDER, self._result(outcome))
        except OSError as error:
            log.warning("the result is not on disk", error=str(error))

    def _execute(self) -> Outcome:
        worker, job = self._worker, self._job
        spec = JobSpec.model_validate(job.spec)
        opened = open_secrets(worker, job, spec, lambda: self._heartbeat.reason)
        guard = Guard(GUARDED_SHARE * worker.settings.lease_playing, lambda: self._heartbeat.renewed)
        assignment = Assignment(job.id, job.attempt, spec, opened, guard if self._reruns else None)
        with self._publisher() as publisher:

            def emit(event: Any) -> None:
                telemetry.EVENTS.inc()
                self._trace.event(event)
                publisher.append(event)
                self._progress.add(event)

            return execute(
                assignment,
                worker.execution,
                emit=emit,
                report=self._report,
                pulse=lambda: self._heartbeat.reason,
                conclude=self._conclude,
            )

    @contextmanager
    def _publisher(self) -> Iterator[Publisher]:
        """What it spools stays on the disk until the log is stored; upkeep drops it then."""
        settings = self._worker.settings
        with Publisher(
            self._worker.redis,
            lambda key, data: with_store(settings, lambda objects: put_in_time(objects, key, data)),
            job_id=self._job.id,
            attempt=self._job.attempt,
            spool=_spool(settings.state_dir, self._fence),
            hot_limit=settings.hot_events,
        ) as publisher:
            yield publisher

    def _report(self, started: PhaseStarted) -> None:
        """Note a phase; the start of the play is committed before it happens: the point of no return."""
        self._end_phase()
        self._phase, self._phase_began = started.phase, time.monotonic()
        self._trace.phase(started.phase)
        values: dict[str, Any] = {"phase": started.phase, "timings": dict(self._timings)}
        values |= started.facts
        if (cache := started.facts.get("source_cache")) is not None:
            telemetry.GIT_CACHE.labels(cache).inc()
        if started.phase is Phase.PLAYING:
            self._heartbeat.begin_play(**values)
        else:
            self._progress.set(**values)
        if started.facts.get("source_cache") == "miss":
            self._note_fetch(self._timings[Phase.SOURCE.value])

    def _note_fetch(self, seconds: float) -> None:
        """Who asks for the same repository next may be sent to other workers."""
        repo, after = self._job.spec["source"].get("repo"), self._worker.settings.git_heavy_after
        if repo is not None:
            with suppress(Unavailable):
                self._worker.db.write(repositories.measured, repo, seconds, slow_after=after)

    def _end_phase(self) -> None:
        seconds = time.monotonic() - self._phase_began
        self._timings[self._phase.value] = round(self._timings.get(self._phase.value, 0.0) + seconds, 3)
        telemetry.PHASE_SECONDS.labels(self._phase.value).observe(seconds)
        self._phase_began = time.monotonic()

    def _stopped(self, reason: StopReason) -> End:
        """Somebody canceled the job, or the worker shuts down."""
        if reason is StopReason.CANCELED:
            return Outcome(Status.CANCELED, None, None, None)
        if self._heartbeat.phase is not Phase.PLAYING:
            return Return("worker_shutdown", "the worker shut down before the play began", failed=False)
        if self._reruns:
            message = "the worker shut down while the play ran; options.on_worker_loss is rerun"
            return Return("worker_shutdown", message, failed=False, played=True)
        return Outcome(Status.LOST, None, "worker_shutdown", "the worker was shut down while the play ran")

    def _again_or_error(self, error: TransientJobError) -> End:
        policy, failures = retries(self._worker.settings, self._job.queue), self._job.failures
        if policy.exhausted(failures):
            return _error(error)
        return Return(error.job_code, error.detail, policy.pause(failures))

    def _again(self, error: Unavailable) -> Return:
        """The database was away before the play: also when it has the point of no return, the play has not begun."""
        pause = retries(self._worker.settings, self._job.queue).pause(0)
        return Return("database_unavailable", error.detail, pause, failed=False, played=True)

    def _announce(self, status: Status) -> None:
        log.info("job ended", status=status)
        mark_end(self._worker.redis, self._job.id, self._job.attempt, self._progress.last_seq)
        try:
            self._worker.queue.close(self._job.id, attempt=self._job.attempt)
        except Unavailable as error:
            log.warning("closing waits for upkeep", error=error.detail)


def _persist(write: Callable[[], T], patience: float) -> T | None:
    """Write through a database outage; None when it lasted too long or the job is no longer ours."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return write()
        except LeaseLost:
            return None
        except Unavailable:
            if time.monotonic() > deadline:
                log.exception("gave up writing a result")
                return None
            time.sleep(1.0)


def _in_short(end: End) -> tuple[str, str | None]:
    """What becomes of the job, and the code of what was wrong."""
    match end:
        case Outcome():
            return end.status, end.error_code
        case Return():
            return Status.QUEUED, end.code
        case None:
            return "unknown", "lease_lost"


def _error(error: JobError) -> Outcome:
    return Outcome(Status.ERROR, None, error.job_code, error.detail)


def _seconds(job: Job) -> float:
    assert job.started_at is not None  # noqa: S101 - set by the claim
    return round((job.started_at - job.queued_at).total_seconds(), 3)


def _spool(state_dir: Path, fence: Fence) -> Path:
    folder = state_dir / "spool"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path_of(folder, fence.job_id, fence.attempt)
