"""The publisher's limits: each call in time, few threads, a pause while the broker is away."""

import threading
import time
from dataclasses import dataclass, field

import anyio
import pytest

from ansible_api.api import examples
from ansible_api.api.publish import THREADS, Publisher
from ansible_api.errors import Unavailable
from ansible_api.jobs.schemas import JobView
from ansible_api.routing import Queue

pytestmark = pytest.mark.anyio
VIEW = JobView.model_validate(examples.JOB_QUEUED)


@dataclass
class Broker:
    """A queue that is there, away, or hangs until it is let go."""

    mood: str = "there"
    sent: list[str] = field(default_factory=list)
    tries: int = 0
    inside: int = 0
    most_inside: int = 0
    let_go: threading.Event = field(default_factory=threading.Event)

    def enqueue(self, job_id: str, *, attempt: int, queue: Queue, priority: int) -> None:
        self.tries += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            if self.mood == "hung":
                self.let_go.wait(10)
            if self.mood == "away":
                raise Unavailable
            self.sent.append(f"{job_id}.{attempt}")
        finally:
            self.inside -= 1

    def close(self, job_id: str, *, attempt: int) -> None:
        self.sent.append(f"close {job_id}.{attempt}")

    def deliver(self, delivery_id: str) -> None:
        raise NotImplementedError

    def depth(self, queue: Queue) -> int:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError


async def enqueue(publisher: Publisher) -> None:
    await publisher.enqueue(VIEW.id, attempt=1, queue=VIEW.queue, priority=VIEW.priority)


async def test_a_job_is_sent_for_the_attempt_that_is_next() -> None:
    broker = Broker()
    await enqueue(Publisher(broker, timeout=5))
    assert broker.sent == [f"{VIEW.id}.1"]


async def test_a_job_that_ended_while_it_waited_is_closed_for_the_attempt_it_had() -> None:
    broker = Broker()
    publisher = Publisher(broker, timeout=5)
    await publisher.close(VIEW)
    await publisher.close(VIEW.model_copy(update={"attempt": 2}))
    assert broker.sent == [f"close {VIEW.id}.0", f"close {VIEW.id}.2"]


async def test_after_a_failure_nothing_is_tried_for_a_while() -> None:
    broker = Broker("away")
    publisher = Publisher(broker, timeout=5)
    for _ in range(5):
        await enqueue(publisher)
    assert broker.tries == 1


async def test_after_the_pause_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_api.api.publish.PAUSE", 0.0)
    broker = Broker("away")
    publisher = Publisher(broker, timeout=5)
    await enqueue(publisher)
    broker.mood = "there"
    await enqueue(publisher)
    await enqueue(publisher)
    assert len(broker.sent) == 2


async def test_a_hung_broker_costs_its_callers_the_limit_once_and_holds_few_threads() -> None:
    broker = Broker("hung")
    publisher = Publisher(broker, timeout=0.3)
    started = time.monotonic()
    async with anyio.create_task_group() as tasks:
        for _ in range(30):  # some begin when the first of them have given up
            tasks.start_soon(enqueue, publisher)
            await anyio.sleep(0.012)
    assert time.monotonic() - started < 5  # one after the other they would take 9
    await enqueue(publisher)
    assert broker.most_inside <= THREADS
    assert broker.tries <= THREADS
    broker.let_go.set()
