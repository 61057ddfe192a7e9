"""Whether this worker consumes: messages go through the broker to it alone, and it shows that it takes them.

An answer to a ping would tell little: it comes over another channel, also from a worker that takes no more tasks.
"""

import threading
import time
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from ansible_api.celery import create_sender
from ansible_api.dispatch import CeleryQueue, canary_entity
from ansible_api.errors import Unavailable
from ansible_api.logs import get_logger
from ansible_api.routing import CANARY
from ansible_api.settings import load_settings
from ansible_api.tasks import metrics
from ansible_api.tasks.own_dir import HEARTBEAT, own_dir
from ansible_api.tasks.worker import node_name, shutdown, unforked

PERIOD = 10.0  # seconds between two canaries
LIMIT = 90.0  # seconds without a sign of life; Celery may wait half a minute before it connects again
TICK = 1.0
log = get_logger(__name__)


class Liveness:
    """When this worker last showed that it consumes, or could not because of something that is not its fault."""

    def __init__(self) -> None:
        self._well_at = time.monotonic()

    def note(self) -> None:
        """All is well, or not this worker's fault."""
        self._well_at = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._well_at

    @property
    def trouble(self) -> str | None:
        """Why this worker should be started again; None: no reason."""
        if shutdown.begun or self.silent_for <= LIMIT:
            return None
        return f"no message came through the broker to this worker for {self.silent_for:.0f} seconds"


liveness = Liveness()


class CanaryStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes the canaries in the consumer's own loop, from the channel of all tasks; after each new connection again."""

    requires = (Tasks,)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        def take(*_: object) -> None:
            liveness.note()

        def tick() -> None:
            # What is full takes nothing, and this loop runs: a worker whose plays last for hours is well.
            if len(state.reserved_requests) >= parent.pool.num_processes:
                liveness.note()

        parent.strategies[CANARY] = take
        parent.task_consumer.add_queue(canary_entity(node_name()))
        self._timer = parent.timer.call_repeatedly(TICK, tick)

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class LivenessStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Sends the canaries, from a thread that hangs when the process does, and keeps the heartbeat."""

    def start(self, parent: Any) -> None:
        settings = load_settings()
        # Made here, where nothing forks meanwhile: a child would inherit what another thread had half done.
        arguments = CeleryQueue(create_sender(settings), unforked()), own_dir(settings.state_dir) / HEARTBEAT
        liveness.note()
        threading.Thread(target=self._run, args=arguments, name="liveness", daemon=True).start()

    def _run(self, queue: CeleryQueue, heartbeat: Path) -> None:
        while True:
            try:
                self._beat(queue, heartbeat)
            except Exception:
                log.exception("liveness failed")
            time.sleep(PERIOD)

    def _beat(self, queue: CeleryQueue, heartbeat: Path) -> None:
        if not shutdown.begun:
            self._send(queue)
        if liveness.trouble is None:
            heartbeat.touch()
        else:
            log.error("this worker does not consume", reason=liveness.trouble)
        with unforked():  # last: it is not needed for life
            metrics.sum_up_the_dead()

    def _send(self, queue: CeleryQueue) -> None:
        try:
            queue.canary(node_name())
        except Unavailable:
            liveness.note()  # the broker's fault
