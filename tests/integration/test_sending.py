"""The task that sends webhooks: whatever goes wrong is noted and follows the schedule, and a start finds it first."""

import base64
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ansible_api.api.app import create_app
from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database
from ansible_api.deliveries import receivers, secrets, store
from ansible_api.deliveries.model import Delivery, DeliveryAttempt, SlowReceiver, WebhookSecret
from ansible_api.deliveries.store import Begun, Decision
from ansible_api.errors import StartupError
from ansible_api.settings import Settings
from ansible_api.tasks import worker as workers
from ansible_api.tasks.deliver import deliver
from ansible_api.tasks.start import _check
from ansible_api.tasks.worker import Worker, create_worker
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import SPEC, new_job, past, put
from tests.servers.webhook_sink import WebhookSink
from tests.waiting import wait_for

OTHER_KEY = "2:" + base64.b64encode(bytes(reversed(range(32)))).decode()
OLD, NEW, BOTH = (Cipher.from_setting(SecretStr(key)) for key in (MASTER_KEY, OTHER_KEY, f"{MASTER_KEY},{OTHER_KEY}"))


@pytest.fixture
def worker(db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A sender that knows the newer master key only."""
    own = {
        "master_key": SecretStr(OTHER_KEY),
        "loopback_egress": True,
        "public_url": "https://api.example.com/",
        "webhook_schedule": (0, 300),
        "webhook_jitter": 0.0,
    }
    made = create_worker(settings.model_copy(update=own), "node")
    monkeypatch.setattr(workers._Process, "worker", made)
    yield made
    made.db.close()


def planned(db: Database, sink: WebhookSink, *, team: str = "red", cipher: Cipher = NEW) -> str:
    """The id of a webhook that is due."""
    job_id = new_job(db, team=team)
    delivery = db.write(store.plan, cipher, team=team, job_id=job_id, url=sink.url)
    db.write(store.release, job_id)
    return delivery.id


def make_due(db: Database, delivery_id: str) -> None:
    def write(session: Session) -> None:
        session.execute(update(Delivery).where(Delivery.id == delivery_id).values(due_at=past(), held_until=None))
        session.execute(update(SlowReceiver).values(busy_until=past()))

    db.write(write)


def sent(db: Database, delivery_id: str) -> tuple[Delivery, DeliveryAttempt]:
    """The webhook and its last attempt, once the task has ended that."""
    deliver(delivery_id)

    def ended(session: Session) -> tuple[Delivery, DeliveryAttempt] | None:
        row = session.get_one(Delivery, delivery_id)
        return None if row.held_until else (row, store.attempts_of(session, delivery_id)[-1])

    found = wait_for(lambda: db.read(ended), message="the attempt has no end")
    assert found is not None
    return found


def slow_receivers(db: Database) -> list[str]:
    return list(db.read(lambda session: session.scalars(select(SlowReceiver.receiver)).all()))


def begun(db: Database, delivery_id: str) -> Begun:
    found = db.write(store.begin_attempt, delivery_id, 30)
    assert found is not None
    return found


def break_job(db: Database, delivery_id: str) -> str:
    """Make the job of a webhook one that cannot be shown; returns its id."""
    job_id = db.read(lambda session: session.get_one(Delivery, delivery_id)).job_id
    put(db, job_id, spec={"canary": []})
    return job_id


def test_a_webhook_whose_signing_secret_does_not_open_says_so_and_keeps_to_its_schedule(
    db: Database, worker: Worker, webhook_sink: WebhookSink
) -> None:
    broken, good = planned(db, webhook_sink, cipher=OLD), planned(db, webhook_sink, team="blue")
    row, attempt = sent(db, broken)
    assert (row.state, row.attempts) == ("pending", 1)
    assert attempt.error == "ANSIBLE_API_MASTER_KEY lacks version 1, which stored secrets need"
    assert db.read(store.due, 1) == [good]  # it holds nobody's place
    make_due(db, broken)
    assert sent(db, broken)[0].state == "failed"
    assert webhook_sink.requests == []
    assert sent(db, good)[0].state == "delivered"


def test_an_unexpected_error_is_noted_without_its_text_and_a_mended_webhook_is_delivered(
    db: Database, worker: Worker, webhook_sink: WebhookSink
) -> None:
    delivery = planned(db, webhook_sink)
    job_id = break_job(db, delivery)
    row, attempt = sent(db, delivery)
    assert (row.state, attempt.error) == ("pending", "something went wrong in the service; see its log")
    assert db.read(store.due) == []
    put(db, job_id, spec=SPEC)
    make_due(db, delivery)
    row, attempt = sent(db, delivery)
    assert (row.state, attempt.number, attempt.status) == ("delivered", 2, 204)


def test_a_signing_secret_that_signs_nothing_is_not_told(
    db: Database, worker: Worker, webhook_sink: WebhookSink
) -> None:
    delivery = planned(db, webhook_sink)

    def spoil(session: Session) -> None:
        row = session.scalars(select(WebhookSecret)).one()
        sealed = NEW.seal("whsec_känary".encode(), ("red", row.id, "secret"))
        row.sealed, row.wrapped_key = sealed.ciphertext, sealed.wrapped_key

    db.write(spoil)
    row, attempt = sent(db, delivery)
    assert (row.state, attempt.error) == ("pending", "something went wrong in the service; see its log")


def test_an_attempt_that_sent_nothing_says_nothing_of_how_quick_its_receiver_is(
    db: Database, worker: Worker, webhook_sink: WebhookSink
) -> None:
    first, second = planned(db, webhook_sink), planned(db, webhook_sink)
    db.write(receivers.mark_slow, begun(db, first).delivery, 30)
    make_due(db, first)
    break_job(db, first)
    sent(db, first)
    assert slow_receivers(db) == [f"http://127.0.0.1:{webhook_sink.port}"]
    assert db.read(store.due) == [second]  # the lane is free


def test_links_in_a_webhook_have_one_slash_after_the_address_of_the_api(
    db: Database, worker: Worker, webhook_sink: WebhookSink
) -> None:
    sent(db, planned(db, webhook_sink))
    [request] = webhook_sink.wait_for_requests()
    assert b'"https://api.example.com/api/' in request.body
    assert b"example.com//" not in request.body


@pytest.mark.parametrize("quick", [True, False])
def test_a_sender_stopped_past_its_hold_leaves_the_lane_to_the_attempt_that_has_it(
    db: Database, webhook_sink: WebhookSink, quick: bool
) -> None:
    first, _second = planned(db, webhook_sink), planned(db, webhook_sink)
    stopped = begun(db, first)
    db.write(receivers.mark_slow, stopped.delivery, 30)
    make_due(db, first)
    latest = begun(db, first)
    assert not db.write(store.end_attempt, first, 1, Decision("delivered"), status=204)
    assert db.write(store.leave_receiver, stopped, quick=quick) == ()
    assert slow_receivers(db)
    assert db.read(store.due) == []
    assert db.write(store.end_attempt, first, 2, Decision("delivered"), status=204)
    assert db.write(store.leave_receiver, latest, quick=quick)


# The master key


@pytest.mark.anyio
async def test_neither_workers_nor_the_api_start_without_the_key_of_a_secret_that_signs(
    db: Database, settings: Settings
) -> None:
    db.write(secrets.create_secret, OLD, "red")
    db.write(secrets.create_secret, BOTH, "red")
    without = settings.model_copy(update={"master_key": SecretStr(OTHER_KEY)})
    with pytest.raises(StartupError, match="lacks version 1"):
        _check(without)
    app = create_app(without)
    with pytest.raises(StartupError, match="lacks version 1"):
        async with app.router.lifespan_context(app):
            pass


def test_a_wrong_key_of_the_right_version_is_found_at_start(db: Database) -> None:
    db.write(secrets.create_secret, OLD, "red")
    with pytest.raises(StartupError, match="not the key"):
        db.read(secrets.check_master_key, Cipher({1: bytes(32)}))


def test_the_key_of_secrets_that_sign_no_more_may_go(db: Database, settings: Settings) -> None:
    db.write(secrets.create_secret, OLD, "red")
    for team in ("red", "red", "blue"):
        db.write(secrets.create_secret, BOTH, team)
    _check(settings.model_copy(update={"master_key": SecretStr(OTHER_KEY)}))
