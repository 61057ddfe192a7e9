"""How a worker's parent process sees a running job: it notices when its child has died, and tells it when to stop."""

from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from ansible_api.jobs.repairs import DeadAttempt
from ansible_api.tasks.worker import dead_attempts, lease_owner, node_name, shutdown


class JobRequest(Request):  # type: ignore[misc]
    """Tells upkeep about a dead child, so that its job need not wait for the end of its lease."""

    def cancel(self, *_: Any, **__: Any) -> None:
        """A cold shutdown, which Celery would begin with SIGTERM to the child: the job ends at once, but in order."""
        shutdown.begin(0)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), WorkerLostError):
            dead_attempts.put(DeadAttempt(self.args[0], owner=lease_owner(node_name(), self.worker_pid)))
        return super().on_failure(exc_info, *args, **kwargs)
