"""A worker that takes no more: because it was told to, or because it was started for one job alone."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.worker import state

from ansible_api.events.spool import path_of
from ansible_api.logs import get_logger
from ansible_api.tasks import results
from ansible_api.tasks.worker import one_job

IDLE = 60.0  # seconds in which a worker for one job must have got it
log = get_logger(__name__)


class Drain:
    """Stops a worker's consumer, once; plays and deliveries that are under way go on."""

    def __init__(self, worker: Any) -> None:
        self._worker, self.begun = worker, False

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            log.info("worker drains", running=len(state.active_requests))
            self._worker.consumer.call_soon(self._stop_consuming)

    def _stop_consuming(self) -> None:
        """In the consumer's own thread."""
        consumer = self._worker.consumer
        names = list(consumer.app.amqp.queues.consume_from)
        for name in names:  # so that no new connection asks for them again
            consumer.app.amqp.queues.deselect(name)
        with suppress(*consumer.connection_errors, *consumer.channel_errors):  # broken, it gets nothing more either
            for name in names:
                consumer.task_consumer.cancel_by_queue(name)


class EndAfterOneJob:
    """The end of a worker that was started for one job: when that is done and nothing of it is left on the disk."""

    def __init__(self, drain: Drain, state_dir: Path) -> None:
        self._drain, self._state_dir, self._since = drain, state_dir, time.monotonic()

    def check(self) -> None:
        """Take no second job; end the worker when there is nothing left to do, or when nothing came."""
        if not self._drain.begun:
            if one_job.begun or time.monotonic() - self._since > IDLE:
                self._drain.begin()  # ends at a later look: what is being received until then is seen there
        elif not state.reserved_requests and not self._left():  # those that run are among the reserved
            log.info("worker ends", job_taken=one_job.begun)
            os.kill(os.getpid(), signal.SIGTERM)

    def _left(self) -> bool:
        """Whether the disk has something of its job that the database or the object store have not."""
        if one_job.attempt is None:
            return False
        result = results.lies_in(self._state_dir / results.FOLDER, *one_job.attempt)
        return result or path_of(self._state_dir / "spool", *one_job.attempt).exists()
