"""Whatever is wrong with the broker, its senders hear one error, and it heals; what is urgent goes first."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from ansible_api.celery import create_app, dispose
from ansible_api.dispatch import CeleryQueue
from ansible_api.errors import Unavailable
from ansible_api.routing import Queue
from ansible_api.settings import Settings
from tests.servers.redis import RedisServer

CALLS: dict[str, Callable[[CeleryQueue], object]] = {
    "enqueue": lambda queue: queue.enqueue("job-1", attempt=1, queue=Queue.DEFAULT, priority=5),
    "close": lambda queue: queue.close("job-1", attempt=1),
    "deliver": lambda queue: queue.deliver("msg-1"),
    "depth": lambda queue: queue.depth(Queue.DEFAULT),
}


@pytest.fixture
def queue(redis_under_test: RedisServer, tmp_path: Path) -> Iterator[CeleryQueue]:
    settings = Settings(
        database_url="sqlite://",  # type: ignore[arg-type]
        redis_url=redis_under_test.url,  # type: ignore[arg-type]
        master_key="1:",  # type: ignore[arg-type]
        objects_dir=tmp_path,
    )
    app = create_app(settings)
    yield CeleryQueue(app)
    dispose(app)


@pytest.mark.parametrize("call", CALLS)
def test_a_dead_broker_is_unavailable_until_it_is_back(
    queue: CeleryQueue, redis_under_test: RedisServer, call: str
) -> None:
    CALLS[call](queue)
    redis_under_test.process.kill()
    with pytest.raises(Unavailable):
        CALLS[call](queue)
    redis_under_test.process.revive()
    CALLS[call](queue)


@pytest.mark.parametrize("call", ["enqueue", "close", "deliver"])
def test_a_full_broker_is_unavailable(queue: CeleryQueue, redis_under_test: RedisServer, call: str) -> None:
    with Redis.from_url(redis_under_test.url) as connection:
        connection.config_set("maxmemory", 1)
        try:
            with pytest.raises(Unavailable):
                CALLS[call](queue)
        finally:
            connection.config_set("maxmemory", 0)


def test_a_sender_listens_to_no_results(queue: CeleryQueue, redis_under_test: RedisServer) -> None:
    for call in CALLS.values():
        call(queue)
    with Redis.from_url(redis_under_test.url) as connection:
        assert connection.pubsub_channels() == []
        assert all(client["sub"] == "0" for client in connection.client_list())


def test_webhooks_and_closings_overtake_the_uploads_that_wait(queue: CeleryQueue) -> None:
    queue.close("job-1", attempt=1)
    queue.deliver("msg-1")
    queue.close("job-2", attempt=0)
    with queue._app.connection_for_read() as connection:
        taken = [connection.default_channel.basic_get(Queue.DELIVERY.value, no_ack=True) for _ in range(4)]
    assert [message.headers["task"].partition(".")[2] for message in taken] == [
        "deliver",
        "close_job",
        "upload",
        "upload",
    ]
