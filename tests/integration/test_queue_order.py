"""In which order a worker that serves several queues takes their messages, from a real broker."""

from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Consumer
from pydantic import SecretStr

from ansible_api import celery
from ansible_api.dispatch import CeleryQueue
from ansible_api.routing import JOB_QUEUES, Queue
from ansible_api.settings import Settings
from tests.servers.redis import RedisServer


@pytest.fixture
def app(settings: Settings, redis_under_test: RedisServer) -> Iterator[Celery]:
    made = celery.create_sender(settings.model_copy(update={"redis_url": SecretStr(redis_under_test.url)}))
    yield made
    celery.dispose(made)


def taken(app: Celery, count: int) -> list[str]:
    """The queues of the messages, as one consumer of all queues gets them."""
    order: list[str] = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        channel.qos.prefetch_count = 1

        def take(_body: object, message: object) -> None:
            order.append(message.delivery_info["routing_key"])  # type: ignore[attr-defined]
            message.ack()  # type: ignore[attr-defined]

        with Consumer(channel, app.conf.task_queues, callbacks=[take], accept=["json"]):
            while len(order) < count:
                connection.drain_events(timeout=10)
    return order


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_no_full_queue_starves_another_and_what_has_ended_is_stored_before_more_begins(app: Celery) -> None:
    queue = CeleryQueue(app)
    for number in range(5):
        queue.enqueue(f"job-{number}", attempt=1, queue=Queue.DEFAULT, priority=5)
    for name in JOB_QUEUES[1:]:
        queue.enqueue(f"job-{name}", attempt=1, queue=name, priority=5)
    queue.enqueue("job-urgent", attempt=1, queue=Queue.LONG_RUNNING, priority=7)
    queue.close("job-ended", attempt=1)  # the uploads of its two products
    order = taken(app, 11)
    assert order[:3] == ["delivery", "delivery", "long-running"]
    assert set(order[3:7]) == set(JOB_QUEUES)
    assert order[7:] == ["default"] * 4
