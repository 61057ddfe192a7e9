"""The thread that keeps a running job's lease, writes its progress and hears of cancelling."""

import threading
from contextvars import copy_context
from typing import Any

from ansible_api.db import Database, now_plus
from ansible_api.errors import LeaseLost, Unavailable
from ansible_api.events.summary import Counts, Summary
from ansible_api.events.types import Event
from ansible_api.jobs import store
from ansible_api.jobs.state import Phase, StopReason
from ansible_api.jobs.store import Fence
from ansible_api.logs import get_logger
from ansible_api.processes import boot_time
from ansible_api.settings import Settings
from ansible_api.tasks.worker import Shutdown

PERIOD = 1.0
log = get_logger(__name__)


class Progress:
    """What the attempt has reached so far, shared between the play's thread and the heartbeat."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._summary = Summary()
        self._written: dict[str, Counts] = {}
        self._values: dict[str, Any] = {}

    def add(self, event: Event) -> None:
        with self._lock:
            self._summary.add(event)
            self._values |= {"current_play": _cut(self._summary.play), "current_task": _cut(self._summary.task)}

    def set(self, **values: Any) -> None:
        with self._lock:
            self._values |= values

    @property
    def last_seq(self) -> int:
        return self._summary.last_seq

    def take(self) -> tuple[dict[str, Any], dict[str, Counts]]:
        """Columns and host counts that have changed since the last call."""
        with self._lock:
            values, self._values = self._values, {}
            hosts = {
                host: dict(counts) for host, counts in self._summary.hosts.items() if counts != self._written.get(host)
            }
            self._written |= hosts
            return values, hosts

    def put_back(self, values: dict[str, Any], hosts: dict[str, Counts]) -> None:
        """Undo `take` after a failed write."""
        with self._lock:
            self._values = values | self._values
            for host in hosts:
                self._written.pop(host, None)


class Heartbeat(threading.Thread):
    """Beats once a second; `reason` tells when and why the attempt must stop."""

    def __init__(self, db: Database, fence: Fence, progress: Progress, settings: Settings, shutdown: Shutdown) -> None:
        super().__init__(name=f"heartbeat {fence.job_id}", daemon=True)
        self._db, self._fence, self._progress = db, fence, progress
        self._settings, self._shutdown = settings, shutdown
        self._context = copy_context()  # its log lines speak of the job, too
        self._done = threading.Event()
        self._writing = threading.Lock()  # what was taken first is written first
        self._reason: StopReason | None = None
        self.renewed = boot_time()  # when a lease was last asked for that was then given
        self.phase = Phase.SOURCE

    @property
    def reason(self) -> StopReason | None:
        if self._reason is None and self._shutdown.begun and (self._shutdown.over or self.phase is not Phase.PLAYING):
            return StopReason.SHUTDOWN
        return self._reason

    def begin_play(self, **values: Any) -> None:
        """Commit the point of no return, with all that is known by then; LeaseLost when the job is no longer ours."""
        with self._writing:
            waiting, _ = self._progress.take()
            renewed = boot_time()
            lease = {"play_started_at": now_plus(), "lease_until": now_plus(self._settings.lease_playing)}
            self._db.write(store.write_running, self._fence, **{**waiting, **values, **lease})
            self.renewed = renewed
            self.phase = Phase.PLAYING

    def run(self) -> None:
        self._context.run(self._beat_until_done)

    def _beat_until_done(self) -> None:
        while not self._done.wait(PERIOD):
            self.beat()

    def stop(self) -> None:
        self._done.set()
        self.join()

    def beat(self) -> None:
        """Write what is new, renew the lease when due; a database that is away changes nothing."""
        with self._writing:
            self._beat()

    def _beat(self) -> None:
        values, hosts = self._progress.take()
        now = boot_time()
        renew = now - self.renewed >= min(self._settings.lease_renewal, self._lease / 3)
        try:
            canceled = self._db.write(_write_beat, self._fence, self._lease if renew else None, values, hosts)
        except LeaseLost:
            self._reason = self._reason or StopReason.LEASE_LOST
        except Unavailable as error:
            log.warning("heartbeat failed", job_id=self._fence.job_id, error=error.detail)
            self._progress.put_back(values, hosts)
        except Exception:  # a beat that cannot be written must not end the next ones: the lease hangs on them
            log.exception("heartbeat failed", job_id=self._fence.job_id)
        else:
            self.renewed = now if renew else self.renewed
            if canceled:
                self._reason = StopReason.CANCELED

    @property
    def _lease(self) -> float:
        return self._settings.lease_playing if self.phase is Phase.PLAYING else self._settings.lease_preparing


def _write_beat(
    session: Any, fence: Fence, lease: float | None, values: dict[str, Any], hosts: dict[str, Counts]
) -> bool:
    canceled = store.beat(session, fence, lease, **values)
    if hosts:
        store.save_hosts(session, fence, hosts)
    return canceled is not None


def _cut(text: str | None) -> str | None:
    return text[:255] if text else text
