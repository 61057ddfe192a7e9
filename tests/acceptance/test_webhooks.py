"""Webhooks by real senders: to receivers that are slow, broken or hostile, and by senders that die."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from ansible_api.celery import create_app, dispose
from ansible_api.dispatch import CeleryQueue
from ansible_api.settings import Settings
from tests.acceptance.service import Service, installed, local_job
from tests.servers.mariadb import MariaDBServer
from tests.servers.processes import free_port
from tests.servers.redis import RedisServer
from tests.servers.webhook_sink import Answer, WebhookSink
from tests.servers.webhook_sink import webhook_sink as start_sink
from tests.waiting import wait_for

TIMEOUT = 2.0
SENDERS = {"WEBHOOK_TIMEOUT": str(TIMEOUT), "WEBHOOK_SCHEDULE": "[0, 0.3, 0.3, 600]", "WEBHOOK_JITTER": "0"}
GIGABYTE = 2**30


@dataclass
class Senders:
    """An installation that ends jobs without playing them, and sends their webhooks with two slots."""

    service: Service
    client: httpx.Client
    workers: list[Any] = field(default_factory=list)

    def start(self) -> None:
        self.workers.append(self.service.start_worker("delivery", name="delivery", concurrency=2))

    def kill(self) -> None:
        os.killpg(self.workers.pop().pid, signal.SIGKILL)

    def webhook(self, url: str) -> str:
        """The id of a job that has ended, with a webhook to that URL: cancelling is the shortest way there."""
        spec = local_job(Path("/srv/playbooks"), options={"callback_url": url})
        job_id: str = self.client.post("/api/v1/jobs", json=spec).json()["id"]
        assert self.client.delete(f"/api/v1/jobs/{job_id}").status_code == 202
        return job_id

    def delivery(self, job_id: str) -> dict[str, Any]:
        [delivery] = self.client.get(f"/api/v1/jobs/{job_id}/deliveries").json()["items"]
        return dict(delivery)

    def redeliver(self, delivery_id: str) -> tuple[int, dict[str, Any]]:
        answer = self.client.post(f"/api/v1/deliveries/{delivery_id}/redeliver")
        return answer.status_code, answer.json()

    def attempts(self, job_id: str, count: int, timeout: float = 20) -> list[dict[str, Any]]:
        """The attempts at a job's webhook, once so many have ended."""

        def ended() -> list[dict[str, Any]] | None:
            delivery = self.delivery(job_id)
            return delivery["attempts"] if len(delivery["attempts"]) >= count and not delivery["sending"] else None

        return wait_for(ended, timeout, message=f"{count} attempts did not end: {self.delivery(job_id)}") or []


@pytest.fixture(scope="module")
def senders(
    tmp_path_factory: pytest.TempPathFactory, mariadb_server: MariaDBServer, redis_server: RedisServer
) -> Iterator[Senders]:
    folder = tmp_path_factory.mktemp("senders")
    redis_server.flush()
    with installed(folder, mariadb_server.new_database(), redis_server.url, **SENDERS) as service:
        service.start_api()
        with service.client as client:
            running = Senders(service, client)
            running.start()
            yield running


def test_a_slow_receiver_delays_nobody(senders: Senders, webhook_sink: WebhookSink) -> None:
    with start_sink() as slow:
        slow.default = Answer(delay=60)
        for _ in range(30):
            senders.webhook(slow.url)
        slow.wait_for_requests(3)  # the first two have taken too long, and were seen to
        wait_for(lambda: len(slow.under_way) <= 1, 10)
        slow.most_under_way = 0
        jobs, delays = [], []
        for number in range(1, 21):
            begun = time.time()
            jobs.append(senders.webhook(webhook_sink.url))
            delays.append(webhook_sink.wait_for_requests(number)[-1].at - begun)
        assert sorted(delays)[18] < 6, delays  # behind the slow ones it would be half a minute
        assert slow.most_under_way <= 1
        assert senders.service.job(jobs[-1])["log_status"] == "stored"
        slow.default = Answer()
        wait_for(lambda: len({request.webhook_id for request in slow.requests}) == 30, 30)
    assert len({request.webhook_id for request in webhook_sink.requests}) == len(webhook_sink.requests) == 20


def test_the_schedule_holds_and_the_id_stays(senders: Senders, webhook_sink: WebhookSink) -> None:
    secret = senders.service.run("webhook-secret", "create")
    newer = senders.service.run("webhook-secret", "create")
    webhook_sink.default = Answer(500)
    job_id = senders.webhook(webhook_sink.url)
    attempts = senders.attempts(job_id, 3)
    assert [attempt["number"] for attempt in attempts] == [1, 2, 3]
    delivery = senders.delivery(job_id)
    assert (delivery["state"], delivery["sending"]) == ("pending", False)
    assert delivery["due_at"] is not None
    received = webhook_sink.wait_for_requests(3)
    assert {request.webhook_id for request in received} == {delivery["id"]}
    assert all(later.at - sooner.at >= 0.25 for sooner, later in pairwise(received))
    for each in (secret, newer):
        for request in received:
            assert Webhook(each).verify(request.body, dict(request.headers.items()))["id"] == job_id
    webhook_sink.default = Answer(204)
    assert senders.redeliver(delivery["id"])[0] == 202
    assert senders.attempts(job_id, 4)[3]["status"] == 204
    assert senders.delivery(job_id)["state"] == "delivered"


def test_the_body_is_what_the_api_says_of_the_job(senders: Senders, webhook_sink: WebhookSink) -> None:
    job_id = senders.webhook(webhook_sink.url)
    [received] = webhook_sink.wait_for_requests(1)
    told, shown = json.loads(received.body), senders.service.job(job_id)
    assert {**told, "log_url": ""} == {**shown, "log_url": ""}


def test_gone_stops_and_retry_after_is_waited_for(senders: Senders, webhook_sink: WebhookSink) -> None:
    webhook_sink.default = Answer(410)
    gone = senders.webhook(webhook_sink.url)
    wait_for(lambda: senders.delivery(gone)["state"] == "failed", 20)
    webhook_sink.default = Answer(429, {"Retry-After": "120"})
    busy = senders.webhook(webhook_sink.url)
    in_a_while = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 100))
    wait_for(lambda: (senders.delivery(busy)["due_at"] or "") > in_a_while, 20)


def test_a_webhook_that_waits_for_its_job_cannot_be_sent(senders: Senders, webhook_sink: WebhookSink) -> None:
    options = {"callback_url": webhook_sink.url}
    job_id = senders.service.submit(local_job(Path("/srv/playbooks"), options=options))
    status, problem = senders.redeliver(senders.delivery(job_id)["id"])
    assert (status, problem["code"]) == (409, "conflict")
    assert webhook_sink.requests == []


def test_many_messages_and_impatient_people_make_one_attempt_at_a_time(
    senders: Senders, webhook_sink: WebhookSink
) -> None:
    webhook_sink.default = Answer(delay=1.5)
    job_id = senders.webhook(webhook_sink.url)
    webhook_sink.wait_for_requests(1)
    delivery_id = senders.delivery(job_id)["id"]
    _publish(senders.service, delivery_id, 20)
    senders.attempts(job_id, 1)
    _publish(senders.service, delivery_id, 20)
    for _ in range(3):
        assert senders.redeliver(delivery_id)[0] == 202
    senders.attempts(job_id, 2)
    _publish(senders.service, delivery_id, 1)
    assert webhook_sink.most_under_way == 1
    assert [request.webhook_id for request in webhook_sink.requests] == [delivery_id] * 2


def test_a_sender_killed_before_it_notes_the_answer_sends_again_with_the_same_id(
    senders: Senders, webhook_sink: WebhookSink
) -> None:
    webhook_sink.answer(Answer(200, body=b"thanks" * 100, drip=0.3))
    job_id = senders.webhook(webhook_sink.url)
    webhook_sink.wait_for_requests(1)
    senders.kill()
    senders.start()
    webhook_sink.wait_for_requests(2, timeout=TIMEOUT * 2 + 10)
    attempts = senders.attempts(job_id, 2)
    assert [(attempt["status"], attempt["error"]) for attempt in attempts] == [
        (None, "the sender vanished"),
        (204, None),
    ]
    assert len({request.webhook_id for request in webhook_sink.requests}) == 1


def _publish(service: Service, delivery_id: str, times: int) -> None:
    settings = Settings(
        database_url=SecretStr("sqlite://"),
        redis_url=SecretStr(service.env["REDIS_URL"]),
        master_key=SecretStr("unused"),
        objects_dir=service.folder,
    )
    app = create_app(settings)
    try:
        for _ in range(times):
            CeleryQueue(app).deliver(delivery_id)
    finally:
        dispose(app)


HOSTILE = b"\x00\x1b[2J\xff\xed\xa0\x80 caf\xc3\xa9"
TROUBLE: dict[str, tuple[str, Answer, int | None, str]] = {
    "an error": ("http://{}/", Answer(500, body=b"no"), 500, "no"),
    "a redirect": ("http://{}/", Answer(302, {"Location": "/other"}), 302, ""),
    "a hostile text": (
        "http://{}/",
        Answer(503, body=HOSTILE),
        503,
        "\ufffd\ufffd[2J\ufffd\ufffd\ufffd\ufffd caf\u00e9",
    ),
    "a gigabyte": ("http://{}/", Answer(500, size=GIGABYTE), 500, "\ufffd" * 1024),
    "a drip": ("http://{}/", Answer(500, body=b"." * 900, drip=0.1), 500, "....."),
    "no answer": ("http://{}/", Answer(delay=60), None, f"no complete answer within {TIMEOUT:g} s"),
    "a reset": ("http://{}/", Answer(reset=True), None, "reset by peer"),
    "no HTTP": ("http://{}/", Answer(raw=b"\x00\xff hello\r\n\r\n"), None, "broke off"),
    "large headers": (
        "http://{}/",
        Answer(500, {f"X-{number}": "x" * 60000 for number in range(4)}),
        None,
        "broke off",
    ),
    "no TLS": ("https://{}/", Answer(), None, "no TLS with 127.0.0.1"),
    "nobody": ("http://127.0.0.1:{free}/", Answer(), None, "Connection refused"),
    "no name": ("http://no-such-host.invalid/", Answer(), None, "no-such-host.invalid cannot be resolved"),
}


# The last: what it leaves is sent again to ports that nobody, or somebody else, listens on.
def test_every_kind_of_trouble_is_an_attempt_with_its_reason(senders: Senders, subtests: pytest.Subtests) -> None:
    with ExitStack() as stack:
        jobs: dict[str, tuple[str, WebhookSink]] = {}
        for name, (url, answer, _, _) in TROUBLE.items():
            sink = stack.enter_context(start_sink())
            sink.default = answer
            jobs[name] = senders.webhook(url.format(f"127.0.0.1:{sink.port}", free=free_port())), sink
        for name, (_, _, status, words) in TROUBLE.items():
            job_id, sink = jobs[name]
            with subtests.test(name):
                attempt = senders.attempts(job_id, 1)[0]
                assert attempt["status"] == status, attempt
                assert words in (attempt["error"] or attempt["answer"] or ""), attempt
                assert attempt["duration_ms"] < (TIMEOUT + 1) * 1000
                assert (attempt["error"] is None) is (status is not None)
                assert sink.sent < GIGABYTE / 10
                assert "/other" not in {request.path for request in sink.requests}
