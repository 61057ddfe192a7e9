"""The Celery app. API and CLI use it to send by name; only a worker loads the tasks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import pools
from kombu.entity import Exchange
from kombu.entity import Queue as KombuQueue
from kombu.transport.redis import QoS
from kombu.utils.scheduling import round_robin_cycle

from ansible_api.redis import BROKER_DB, RESULT_DB, celery_url
from ansible_api.routing import JOB_QUEUES, Queue
from ansible_api.settings import Settings


class DeliveryFirst(round_robin_cycle):
    """Which queue a worker of several asks first for messages of one priority.

    That of its canaries, which are rare: they must not wait behind what never ends. `delivery`, whose tasks are short:
    what has ended is stored and told before more begins. Then the queue whose turn was longest ago, so that no full
    queue starves another.
    """

    def consume(self, n: int) -> list[str]:
        return sorted(self.items[:n], key=lambda queue: (queue in JOB_QUEUES, queue == Queue.DELIVERY))


class RowsRestore(QoS):
    """Acknowledges on connections that are there. What a broken one had, rows restore, not messages.

    kombu would restore, or acknowledge, through a closed channel, which has dropped the broker's address, and Celery
    would end the worker with all its plays. And a message for which the broker gives no answer would keep its place
    among those that a worker may have: with enough of them it takes no more.
    """

    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        with self._given_up(delivery_tag):
            if not self.channel.closed:
                super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        with self._given_up(delivery_tag):
            if not self.channel.closed:
                super().reject(delivery_tag, requeue)

    @contextmanager
    def _given_up(self, delivery_tag: str) -> Iterator[None]:
        """Its place is free afterwards, whatever the broker says, if anything."""
        try:
            yield
        finally:
            self._quick_ack(delivery_tag)


class ChordResults(RedisBackend):  # type: ignore[misc]
    """Counts the finished headers of chords. Nobody ever waits for a result here.

    Celery's own subscribes whoever sends a chord to the results of its headers, and gives up with "must be restarted"
    when it cannot unsubscribe while Redis is away.
    """

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        return result

    def remove_pending_result(self, result: Any) -> Any:
        return result

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing."""


def create_app(settings: Settings) -> Celery:
    """The app: celeryconfig.py, and what the settings say."""
    app = Celery("ansible_api", set_as_current=False)
    app.config_from_object("celeryconfig")
    redis = settings.redis_url.get_secret_value()
    broker = settings.broker_url.get_secret_value() if settings.broker_url else celery_url(redis, BROKER_DB)
    if is_rabbitmq(broker):
        app.conf.update(_on_rabbitmq())
    app.conf.update(
        broker_url=broker,
        result_backend=f"{__name__}:{ChordResults.__name__}+{celery_url(redis, RESULT_DB).removeprefix('redis+')}",
        worker_max_tasks_per_child=settings.child_max_jobs,
        worker_max_memory_per_child=settings.child_max_memory // 1024,
    )
    return app


def is_rabbitmq(broker_url: str) -> bool:
    return broker_url.startswith(("amqp://", "amqps://"))


def _on_rabbitmq() -> dict[str, Any]:
    """Queues that are replicated, and a broker that says that it has what it was sent.

    There a worker gets as many messages of each of its queues as it has slots, whether these are free or not. So it
    gives back what it has no slot for (`tasks.slots`).
    """
    # From 4.0 on a message that was given back 20 times is dropped, unless the queue has a limit of its own; before, a
    # negative one means none at all.
    quorum = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
    return {
        "task_queues": [
            KombuQueue(name, Exchange(name, type="direct"), routing_key=name, queue_arguments=quorum) for name in Queue
        ],
        "task_default_queue_type": "quorum",
        "task_annotations": {"*": {"Strategy": "ansible_api.tasks.slots:taken_by_free_slots"}},
        "broker_transport_options": {"confirm_publish": True, "confirm_timeout": 5.0},
    }


def create_sender(settings: Settings) -> Celery:
    """The app for a process that answers callers: it waits for the broker no longer than `broker_timeout`."""
    app = create_app(settings)
    limit = settings.broker_timeout
    if is_rabbitmq(app.conf.broker_url):
        limits = {"read_timeout": limit, "write_timeout": limit, "connect_timeout": limit, "confirm_timeout": limit}
    else:
        limits = {"socket_timeout": limit, "socket_connect_timeout": limit}
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **limits, "max_retries": 0}
    app.conf.update(
        broker_connection_timeout=settings.broker_timeout,
        redis_socket_timeout=settings.broker_timeout,
        redis_socket_connect_timeout=settings.broker_timeout,
    )
    return app


def dispose(app: Celery) -> None:
    """Close the app's connections to the broker; kombu keeps them per process, not per app."""
    pools.reset()
    app.close()
