"""The only module that sends messages: by task name, ids only, so that the API never loads task code.

A message is a hint. Losing one costs time, repeating one costs nothing: the rows decide.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from amqp.exceptions import AMQPError, NotFound
from celery import Celery, chord
from kombu.entity import Queue as KombuQueue
from kombu.exceptions import OperationalError
from redis import RedisError

from ansible_api.celery import is_rabbitmq
from ansible_api.errors import Unavailable
from ansible_api.routing import CANARY, HIGHEST_PRIORITY, Queue, TaskName, broker_priority, canary_queue, task_priority

PRODUCTS = ("log", "events")
CANARY_EXPIRES = 600.0  # seconds


def canary_entity(node: str) -> KombuQueue:
    """The queue of a worker's canaries, as the broker knows it: it goes by itself when the worker has gone.

    Nothing is acknowledged: a broker that hangs at that would leave the worker with a message too many for ever.
    """
    name = canary_queue(node)
    return KombuQueue(name, durable=True, expires=CANARY_EXPIRES, no_ack=True)  # type: ignore[no-untyped-call]


class JobQueue(Protocol):
    """What API, tasks and upkeep need of a queue; every call raises Unavailable when the broker is away."""

    def enqueue(self, job_id: str, *, attempt: int, queue: Queue, priority: int) -> None:
        """Tell the workers of a queue that a job waits."""

    def close(self, job_id: str, *, attempt: int) -> None:
        """Have an ended job's products uploaded, then the job closed."""

    def deliver(self, delivery_id: str) -> None:
        """Have a webhook sent."""

    def depth(self, queue: Queue) -> int:
        """Messages that wait in a queue."""

    def check(self) -> None:
        """Unavailable when the broker does not answer."""


class CeleryQueue:
    """The queue that Celery is."""

    def __init__(self, app: Celery, guard: AbstractContextManager[object] | None = None) -> None:
        """`guard` is held while the broker is talked to."""
        self._app, self._guard = app, guard or nullcontext()

    def enqueue(self, job_id: str, *, attempt: int, queue: Queue, priority: int) -> None:
        # Celery, logs, traces and API speak of the same thing: the task's id is the job's id with the attempt.
        self._send(
            TaskName.RUN_JOB,
            job_id,
            task_id=f"{job_id}.{attempt}",
            queue=queue.value,
            priority=self._priority(priority),
        )

    def close(self, job_id: str, *, attempt: int) -> None:
        if attempt == 0:  # no worker ever had it: there is nothing to upload
            self._send(TaskName.CLOSE_JOB, [], job_id, attempt, **self._delivery(TaskName.CLOSE_JOB))
            return
        header = [self._signature(TaskName.UPLOAD, job_id, attempt, product) for product in PRODUCTS]
        body = self._signature(TaskName.CLOSE_JOB, job_id, attempt)
        self._guarded(lambda: chord(header, body, app=self._app).apply_async(retry=False))

    def deliver(self, delivery_id: str) -> None:
        self._send(TaskName.DELIVER, delivery_id, **self._delivery(TaskName.DELIVER))

    def depth(self, queue: Queue) -> int:
        return int(self._guarded(lambda: self._depth(queue)))

    def canary(self, node: str) -> None:
        """Send one worker a message by which it shows that it consumes; without a worker it soon vanishes."""
        self._guarded(lambda: self._send_canary(canary_entity(node)))

    def _send_canary(self, queue: KombuQueue) -> None:
        # Not as a task: Flower would list it, and a worker would need a free slot to take it.
        with self._app.producer_or_acquire() as producer:
            producer.publish(
                [[], {}, {}],
                headers={"task": CANARY, "id": CANARY},
                routing_key=queue.name,
                declare=[queue],
                serializer="json",
                retry=False,
            )

    def check(self) -> None:
        """Ask the broker whether it is there."""
        self._guarded(self._greet)

    def _greet(self) -> None:
        with self._app.connection_for_write() as connection:
            connection.default_channel.close()

    def _depth(self, queue: Queue) -> int:
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            if is_rabbitmq(str(self._app.conf.broker_url)):
                try:
                    return int(channel.queue_declare(queue.value, passive=True).message_count)
                except NotFound:  # nobody has sent to it, or served it, so far
                    return 0
            # Declared in full: kombu's passive declaration overlooks queues under a key prefix of Redis.
            arguments = channel.prepare_queue_arguments({}, max_priority=HIGHEST_PRIORITY)
            return int(channel.queue_declare(queue.value, durable=True, auto_delete=False, arguments=arguments)[1])

    def _priority(self, priority: int) -> int:
        return broker_priority(priority, transport=str(self._app.conf.broker_url))

    def _signature(self, name: TaskName, *args: object) -> Any:
        # Celery takes a subclass of str for a task object.
        return self._app.signature(name.value, args=args, **self._delivery(name))

    def _delivery(self, name: TaskName) -> dict[str, Any]:
        return {"queue": Queue.DELIVERY.value, "priority": self._priority(task_priority(name))}

    def _send(self, name: TaskName, *args: object, **options: Any) -> None:
        self._guarded(lambda: self._app.send_task(name.value, args=args, retry=False, ignore_result=True, **options))

    def _guarded(self, send: Any) -> Any:
        try:
            with self._guard:
                return send()
        except (OperationalError, OSError, RedisError, AMQPError) as error:
            raise Unavailable(f"the broker is away: {type(error).__name__}") from error
