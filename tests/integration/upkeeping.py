"""For the tests of upkeep: how it is made and driven, and what it has sent."""

from collections.abc import Callable

from redis import Redis

from ansible_api.redis import BROKER_DB, with_db
from ansible_api.routing import Queue
from ansible_api.tasks.upkeep import Upkeep
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

NewUpkeep = Callable[..., Upkeep]


def messages(server: RedisServer, queue: Queue = Queue.DEFAULT) -> int:
    """How many messages wait in a queue, at all priorities."""
    with Redis.from_url(with_db(server.url, BROKER_DB)) as client:
        names = [key for key in client.scan_iter() if key.split(b":")[-1].split(b"\x06")[0] == queue.value.encode()]
        return sum(client.llen(key) for key in names if client.type(key) == b"list")


def tick_until(upkeep: Upkeep, condition: Callable[[], bool]) -> None:
    """Tick as a worker does, until it has become true."""

    def ticked() -> bool:
        upkeep.tick()
        return condition()

    wait_for(ticked, timeout=20)
