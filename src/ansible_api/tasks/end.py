"""The end of a worker process: however it began, within the time that its plays may take."""

import os
import threading
import time
from typing import Any

from celery import bootsteps

from ansible_api.settings import load_settings
from ansible_api.tasks.worker import shutdown

REPORTING = 10.0  # seconds in which children may write how their plays ended


class EndStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Gives the plays their grace when it is not a signal that ends the worker, and ends one that hangs.

    Celery's own end waits without limit for what it has taken, also for a task that no child was ever given.
    """

    def close(self, parent: Any) -> None:
        """Called when the worker begins to end, before it waits for its children."""
        settings = load_settings()
        if not shutdown.begun:
            shutdown.begin(settings.shutdown_grace)
        left = max(0.0, shutdown.deadline - time.time()) + settings.cancel_grace + REPORTING
        timer = threading.Timer(left, os._exit, [os.EX_SOFTWARE])
        timer.daemon = True
        timer.start()
