"""On RabbitMQ a worker without a free slot gives a message back, so that one that has a slot takes it.

Celery's setting for that, `worker_disable_prefetch`, is for Redis.
"""

from collections.abc import Callable
from typing import Any

from celery.worker import state
from celery.worker.strategy import default

from ansible_api.logs import get_logger

PAUSE = 0.05  # seconds before it goes back: the broker would hand it to the same worker at once, when there is no other
log = get_logger(__name__)


def taken_by_free_slots(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's strategy for a task, which decides what becomes of its messages."""
    take = default(task, app, consumer, **options)

    def take_or_give_back(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        if len(state.reserved_requests) < consumer.pool.num_processes:
            return take(message, body, ack, reject, callbacks, **more)
        return consumer.timer.call_after(PAUSE, reject, (log, consumer.connection_errors, True))

    return take_or_give_back
