"""What a worker does with the messages of a connection that broke, on a real broker."""

from collections.abc import Iterator

import pytest
from kombu import Connection
from kombu.message import Message
from kombu.transport.redis import Channel
from redis.exceptions import TimeoutError as RedisTimeout

from ansible_api.celery import RowsRestore
from ansible_api.redis import BROKER_DB, celery_url
from tests.servers.redis import RedisServer


@pytest.fixture
def connection(redis_under_test: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setattr(Channel, "QoS", RowsRestore)
    limits = {"socket_timeout": 0.3}
    with Connection(celery_url(redis_under_test.url, BROKER_DB), transport_options=limits) as made:
        yield made


def taken(connection: Connection) -> Message:
    queue = connection.SimpleQueue("taken")
    queue.put("a task")
    message: Message = queue.get(timeout=5)
    return message


def test_a_message_whose_connection_has_gone_is_left_alone(connection: Connection) -> None:
    for answer in ("ack", "reject", "requeue"):
        message = taken(connection)
        connection.close()
        getattr(message, answer)()


def test_a_message_that_the_broker_does_not_answer_for_takes_no_place(
    connection: Connection, redis_under_test: RedisServer
) -> None:
    for answer in ("ack", "reject", "requeue"):
        message = taken(connection)
        qos = message.channel.qos
        qos.prefetch_count = 1
        assert not qos.can_consume()
        redis_under_test.process.pause()
        try:
            with pytest.raises(RedisTimeout):
                getattr(message, answer)()
        finally:
            redis_under_test.process.resume()
        assert qos.can_consume()


def test_a_message_is_acknowledged_and_one_that_is_refused_comes_again(connection: Connection) -> None:
    taken(connection).requeue()
    queue = connection.SimpleQueue("taken")
    queue.get(timeout=5).ack()
    broker = connection.default_channel.client
    assert (broker.hlen("unacked"), broker.llen("taken")) == (0, 0)
