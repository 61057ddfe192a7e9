"""RabbitMQ as the broker: replicated queues, and one error whatever is wrong with it."""

from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from kombu import Connection
from pydantic import SecretStr

from ansible_api import celery
from ansible_api.dispatch import CeleryQueue
from ansible_api.errors import Unavailable
from ansible_api.routing import Queue
from ansible_api.settings import Settings
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
CALLS: dict[str, Callable[[CeleryQueue], object]] = {
    "enqueue": lambda queue: queue.enqueue("job-1", attempt=1, queue=Queue.DEFAULT, priority=5),
    "close": lambda queue: queue.close("job-1", attempt=1),
    "deliver": lambda queue: queue.deliver("msg-1"),
    "depth": lambda queue: queue.depth(Queue.DEFAULT),
    "canary": lambda queue: queue.canary("node"),
    "check": lambda queue: queue.check(),
}


@pytest.fixture
def on_rabbitmq(settings: Settings, rabbitmq_server: RabbitMQServer, redis_server: RedisServer) -> Settings:
    rabbitmq_server.process.revive()
    rabbitmq_server.flush()
    redis_server.process.revive()
    urls = {"broker_url": SecretStr(rabbitmq_server.url), "redis_url": SecretStr(redis_server.url)}
    return settings.model_copy(update=urls)


@pytest.fixture
def app(on_rabbitmq: Settings) -> Iterator[Celery]:
    made = celery.create_sender(on_rabbitmq)
    yield made
    celery.dispose(made)


def test_what_was_sent_waits_in_the_queue_of_its_kind(app: Celery) -> None:
    queue = CeleryQueue(app)
    assert queue.depth(Queue.GIT_HEAVY) == 0  # which nobody has declared so far
    for number in range(3):
        queue.enqueue(f"job-{number}", attempt=1, queue=Queue.GIT_HEAVY, priority=number)
    queue.close("job-1", attempt=1)  # the uploads of its two products
    queue.deliver("msg-1")
    assert {name: wait_for(lambda name=name: queue.depth(name), 5) for name in (Queue.GIT_HEAVY, Queue.DELIVERY)} == {
        Queue.GIT_HEAVY: 3,
        Queue.DELIVERY: 3,
    }
    assert queue.depth(Queue.DEFAULT) == 0


def test_queues_are_replicated(app: Celery, rabbitmq_server: RabbitMQServer) -> None:
    CeleryQueue(app).enqueue("job-1", attempt=1, queue=Queue.DEFAULT, priority=5)
    with Connection(rabbitmq_server.url) as connection:
        # Declared otherwise, a queue that is there is refused.
        channel = connection.default_channel
        with pytest.raises(connection.channel_errors, match=r"x-queue-type.*'quorum'"):
            channel.queue_declare(Queue.DEFAULT.value, durable=True, auto_delete=False)


def test_a_hung_and_a_dead_broker_are_unavailable_until_they_are_back(
    app: Celery, rabbitmq_server: RabbitMQServer
) -> None:
    queue = CeleryQueue(app)
    for call in CALLS.values():
        call(queue)
    rabbitmq_server.process.restart()  # RabbitMQ 3.10 knows no leader of queues that it made just before it is killed
    rabbitmq_server.process.pause()
    _refused(queue)
    rabbitmq_server.process.resume()
    _back(queue)
    rabbitmq_server.process.kill()
    _refused(queue)
    rabbitmq_server.process.revive()
    _back(queue)


@pytest.mark.parametrize("wrong", ["password", "vhost", "port", "host"])
@pytest.mark.parametrize("call", ["enqueue", "check"])
def test_a_wrong_address_of_the_broker_is_unavailable_and_tells_no_password(
    on_rabbitmq: Settings, rabbitmq_server: RabbitMQServer, wrong: str, call: str
) -> None:
    right = rabbitmq_server.url
    url = {
        "password": right.replace("guest:guest", "guest:canary"),
        "vhost": right.removesuffix("/") + "absent",
        "port": "amqp://guest:canary@127.0.0.1:1//",
        "host": "amqp://guest:canary@absent.invalid:5672//",
    }[wrong]
    app = celery.create_sender(on_rabbitmq.model_copy(update={"broker_url": SecretStr(url)}))
    with pytest.raises(Unavailable) as caught:
        CALLS[call](CeleryQueue(app))
    celery.dispose(app)
    assert "canary" not in str(caught.value)


def _refused(queue: CeleryQueue) -> None:
    """Every call says that the broker is away."""
    for call in CALLS.values():
        with pytest.raises(Unavailable):
            call(queue)


def _back(queue: CeleryQueue) -> None:
    """Every call works again, soon."""
    for call in CALLS.values():
        wait_for(lambda call=call: _works(call, queue), 20)


def _works(call: Callable[[CeleryQueue], object], queue: CeleryQueue) -> bool:
    try:
        call(queue)
    except Unavailable:
        return False
    return True
