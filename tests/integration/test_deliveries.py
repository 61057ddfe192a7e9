"""The rows of webhooks: planned with the job, released at its end, attempted by one sender at a time."""

import json
from datetime import UTC, datetime

import pytest
from httpx import Headers
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database, now_plus
from ansible_api.deliveries import receivers, secrets, store
from ansible_api.deliveries.model import Delivery, SlowReceiver, WebhookSecret
from ansible_api.deliveries.schemas import delivery_view
from ansible_api.deliveries.send import attempt, columns, decide
from ansible_api.deliveries.signing import make_secret, signed_headers
from ansible_api.deliveries.store import Begun, Decision
from ansible_api.egress import Answer, Policy
from ansible_api.errors import Conflict, NotFound
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Status
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import at_once, new_job, past, put
from tests.servers.webhook_sink import Answer as SinkAnswer
from tests.servers.webhook_sink import WebhookSink

CIPHER = Cipher.from_setting(SecretStr(MASTER_KEY))
URL = "https://ci.example.com/hook"
TRIALS = Policy(allow_loopback=True)


@pytest.fixture
def delivery(db: Database) -> str:
    """The id of a webhook that waits for its job."""
    return plan(db, new_job(db))


def plan(db: Database, job_id: str) -> str:
    return db.write(store.plan, CIPHER, team="red", job_id=job_id, url=URL).id


def read(db: Database, delivery_id: str) -> Delivery:
    found = db.read(lambda session: session.get(Delivery, delivery_id))
    assert found is not None
    return found


def release(db: Database, delivery_id: str) -> None:
    db.write(store.release, read(db, delivery_id).job_id)


def make_due(db: Database, delivery_id: str) -> None:
    def write(session: Session) -> None:
        session.execute(update(Delivery).where(Delivery.id == delivery_id).values(due_at=past(), held_until=past()))

    db.write(write)


def test_a_webhook_waits_for_its_job(db: Database, delivery: str) -> None:
    assert read(db, delivery).state == "waiting"
    assert db.read(store.due) == []
    assert db.write(store.begin_attempt, delivery, 30) is None
    assert db.read(store.held, 0) == []


def test_a_released_webhook_is_due_once(db: Database, delivery: str) -> None:
    job_id = read(db, delivery).job_id
    assert db.write(store.release, job_id) == [delivery]
    assert db.write(store.release, job_id) == []
    assert db.read(store.due) == [delivery]


@pytest.mark.parametrize(
    ("columns", "released"),
    [
        ({"status": Status.SUCCESSFUL, "finished_at": now_plus(), "closed_at": now_plus()}, True),
        ({"status": Status.LOST, "finished_at": past(20)}, True),
        ({"status": Status.FAILED, "finished_at": past(5)}, False),
        ({"status": Status.RUNNING, "finished_at": None}, False),
    ],
)
def test_a_webhook_is_held_for_the_log_but_not_for_ever(
    db: Database, delivery: str, columns: dict[str, object], released: bool
) -> None:
    put(db, read(db, delivery).job_id, **columns)
    found = db.read(store.held, 15)
    assert (found == [delivery]) is released
    assert db.write(store.release_held, found) == int(released)
    assert db.write(store.release_held, found) == 0
    assert db.read(store.due) == found


def test_looking_for_held_webhooks_waits_for_no_writer(db: Database, delivery: str) -> None:
    job_id = read(db, delivery).job_id
    put(db, job_id, status=Status.LOST, finished_at=past(20))

    def write(session: Session) -> None:
        session.execute(update(Job).where(Job.id == job_id).values(attempt=7))
        assert db.read(store.held, 15) == [delivery]

    db.write(write)


def test_of_many_senders_at_once_one_has_the_right_to_an_attempt(db: Database, delivery: str) -> None:
    release(db, delivery)
    begun = at_once(8, lambda _: db.write(store.begin_attempt, delivery, 30))
    assert sum(row is not None for row in begun) == 1
    assert read(db, delivery).attempts == 1
    [(_, attempts)] = db.read(store.list_for_job, read(db, delivery).job_id)
    assert [attempt.number for attempt in attempts] == [1]


def test_a_sender_that_died_leaves_the_webhook_due_later(db: Database, delivery: str) -> None:
    release(db, delivery)
    assert db.write(store.begin_attempt, delivery, 30)
    assert db.read(store.due) == []
    under_way = delivery_view(read(db, delivery), ())
    assert (under_way.sending, under_way.due_at) == (True, None)
    make_due(db, delivery)
    vanished = delivery_view(read(db, delivery), ())
    assert (vanished.sending, vanished.due_at) == (False, read(db, delivery).due_at)
    again = db.write(store.begin_attempt, delivery, 30)
    assert again is not None
    assert again.number == 2
    assert [attempt.error for attempt in db.read(store.attempts_of, delivery)] == ["the sender vanished", None]


def test_the_end_of_an_attempt_is_noted_with_what_follows(db: Database, delivery: str) -> None:
    release(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    db.write(store.end_attempt, delivery, 1, Decision("pending", 300), status=503, duration_ms=7, answer="busy")
    assert db.read(store.due) == []
    make_due(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    db.write(store.end_attempt, delivery, 2, Decision("delivered"), status=204)
    ended = read(db, delivery)
    assert (ended.state, ended.attempts, ended.due_at) == ("delivered", 2, None)
    assert ended.ended_at is not None
    assert db.write(store.begin_attempt, delivery, 30) is None
    [(_, attempts)] = db.read(store.list_for_job, ended.job_id)
    assert [(attempt.status, attempt.answer) for attempt in attempts] == [(503, "busy"), (204, None)]


def test_a_late_answer_to_an_earlier_attempt_decides_nothing(db: Database, delivery: str) -> None:
    release(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    make_due(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    db.write(store.end_attempt, delivery, 1, Decision("failed"), status=410)
    assert read(db, delivery).state == "pending"


def test_the_job_takes_its_webhooks_along(db: Database, delivery: str) -> None:
    job_id = read(db, delivery).job_id
    other = plan(db, job_id)
    assert sorted(db.write(store.release, job_id)) == sorted([delivery, other])
    assert db.read(store.list_for_job, new_job(db)) == []


# Sending again


@pytest.mark.parametrize("state", ["delivered", "failed"])
def test_an_ended_webhook_is_due_again_with_its_schedule_anew(db: Database, delivery: str, state: str) -> None:
    release(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    db.write(store.end_attempt, delivery, 1, Decision(state), status=500)
    again = db.write(store.redeliver, "red", delivery)
    assert (again.state, again.attempts, again.attempts_before, again.ended_at) == ("pending", 1, 1, None)
    assert db.read(store.due) == [delivery]


def test_many_who_want_it_again_make_one_attempt(db: Database, delivery: str) -> None:
    release(db, delivery)

    def impatient(_: int) -> bool:
        db.write(store.redeliver, "red", delivery)
        return db.write(store.begin_attempt, delivery, 30) is not None

    assert sum(at_once(8, impatient)) == 1
    assert read(db, delivery).attempts == 1


def test_a_webhook_that_waits_for_its_job_or_is_anothers_is_not_sent_again(db: Database, delivery: str) -> None:
    with pytest.raises(Conflict, match="waits for the end of its job"):
        db.write(store.redeliver, "red", delivery)
    for team, wanted in (("blue", delivery), ("red", "msg-absent")):
        with pytest.raises(NotFound, match="no such webhook"):
            db.write(store.redeliver, team, wanted)
    assert read(db, delivery).state == "waiting"


def test_what_a_stopped_sender_says_late_changes_nothing(db: Database, delivery: str) -> None:
    release(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    make_due(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    assert not db.write(store.end_attempt, delivery, 1, Decision("failed"), status=410)
    assert db.write(store.end_attempt, delivery, 2, Decision("delivered"), status=204)
    assert not db.write(store.end_attempt, delivery, 2, Decision("failed"), status=410)
    assert read(db, delivery).state == "delivered"
    attempts = db.read(store.attempts_of, delivery)
    assert [(attempt.status, attempt.error) for attempt in attempts] == [(None, store.VANISHED), (204, None)]


def test_hostile_texts_are_kept_without_harm(db: Database, delivery: str) -> None:
    release(db, delivery)
    db.write(store.begin_attempt, delivery, 30)
    body = b"\x00\x1b]0;x\x07 \xed\xa0\x80 \xf0\x9f\x98\x80\r\n\xe2\x80\xae" + b"\xf0\x9f\x98\x80" * 1024
    kept = columns(Answer(500, Headers(), body, 0.1))
    db.write(store.end_attempt, delivery, 1, Decision("pending", 5), **kept)
    [attempt] = db.read(store.attempts_of, delivery)
    assert attempt.answer == kept["answer"]
    assert attempt.answer is not None
    assert len(attempt.answer) == 1024
    assert all(character.isprintable() or character == "\n" for character in attempt.answer)


# Slow receivers


def released(db: Database, count: int) -> list[str]:
    ids = [plan(db, new_job(db)) for _ in range(count)]
    for delivery_id in ids:
        release(db, delivery_id)
    return ids


def begun(db: Database, delivery_id: str, **more: bool) -> Begun:
    found = db.write(store.begin_attempt, delivery_id, 30, **more)
    assert found is not None
    return found


def test_a_slow_receiver_gets_one_webhook_at_a_time(db: Database) -> None:
    first, second, third, fourth = released(db, 4)
    attempt = begun(db, first)
    begun(db, second)  # not yet known to be slow
    db.write(receivers.mark_slow, attempt.delivery, 30)
    assert db.read(store.due) == []
    assert db.write(store.begin_attempt, third, 30) is None
    assert read(db, third).attempts == 0
    db.write(store.end_attempt, first, 1, Decision("failed"), status=500)
    assert db.write(store.leave_receiver, attempt, quick=False) == [third]
    assert db.read(store.due) == [third]
    assert db.write(store.begin_attempt, third, 30, crowded=True) is None
    took = at_once(2, lambda number: db.write(store.begin_attempt, (third, fourth)[number], 30) is not None)
    assert sum(took) == 1


def test_a_receiver_that_answers_quickly_again_is_slow_no_more(db: Database) -> None:
    first, second, third = released(db, 3)
    attempt = begun(db, first)
    other = begun(db, second)
    db.write(receivers.mark_slow, attempt.delivery, 30)
    db.write(receivers.mark_slow, other.delivery, 30)
    assert db.write(store.leave_receiver, other, quick=True) == ()  # it began before, and proves nothing
    assert db.write(store.begin_attempt, third, 30) is None
    db.write(store.leave_receiver, attempt, quick=True)
    assert not begun(db, third).slow


def test_a_slow_receiver_of_one_team_is_not_slow_for_another(db: Database) -> None:
    [first] = released(db, 1)
    db.write(receivers.mark_slow, begun(db, first).delivery, 30)
    other = db.write(store.plan, CIPHER, team="blue", job_id=new_job(db, team="blue"), url=URL).id
    release(db, other)
    assert db.read(store.due) == [other]
    assert not begun(db, other).slow


def test_a_sender_that_died_leaves_its_slow_receiver_free_later(db: Database) -> None:
    first, second = released(db, 2)
    db.write(receivers.mark_slow, begun(db, first).delivery, -1)
    assert db.read(store.due) == [second]
    assert begun(db, second).slow


def note_slow(db: Database, *receivers: str, busy_until: object) -> None:
    """Receivers of the team blue that were slow."""
    rows = [SlowReceiver(team="blue", receiver=name, busy_until=busy_until, busy_with="msg-old") for name in receivers]
    db.write(lambda session: session.add_all(rows))


def slow_receivers(db: Database) -> set[str]:
    return set(db.read(lambda session: session.scalars(select(SlowReceiver.receiver)).all()))


def test_a_slow_receiver_is_served_however_many_others_are_idle(db: Database) -> None:
    note_slow(db, *(f"http://ci-{number:03}.example.com:80" for number in range(100)), busy_until=past(9999))
    first, second = released(db, 2)
    attempt = begun(db, first)
    db.write(receivers.mark_slow, attempt.delivery, 30)
    db.write(store.end_attempt, first, 1, Decision("failed"), status=500)
    db.write(store.leave_receiver, attempt, quick=False)
    assert db.read(store.due) == [second]


def test_receivers_that_were_slow_are_forgotten_after_a_day_without_webhooks(db: Database) -> None:
    name = "https://other.example.com:443"
    db.write(store.plan, CIPHER, team="blue", job_id=new_job(db, team="blue"), url="https://other.example.com/hook")
    note_slow(db, name, "http://idle.example.com:80", busy_until=past(86_500))
    note_slow(db, "http://recent.example.com:80", busy_until=past(86_300))
    [first] = released(db, 1)
    db.write(receivers.mark_slow, begun(db, first).delivery, 30)
    assert slow_receivers(db) == {name, "http://recent.example.com:80", "https://ci.example.com:443"}


def test_an_attempt_that_has_ended_takes_no_lane(db: Database) -> None:
    first, second = released(db, 2)
    attempt = begun(db, first)
    db.write(store.end_attempt, first, 1, Decision("pending", 60), status=500)
    db.write(store.leave_receiver, attempt, quick=False)
    db.write(receivers.mark_slow, attempt.delivery, 30)
    assert slow_receivers(db) == set()
    make_due(db, first)
    begun(db, first)
    db.write(receivers.mark_slow, attempt.delivery, 30)  # of the attempt before
    assert slow_receivers(db) == set()
    assert db.read(store.due) == [second]


# Signing secrets


def test_the_two_newest_secrets_verify_and_older_ones_do_not(db: Database, webhook_sink: WebhookSink) -> None:
    oldest, older, newest = (db.write(secrets.create_secret, CIPHER, "red")[1] for _ in range(3))
    signing = db.read(secrets.open_secrets, CIPHER, "red")
    body = json.dumps({"id": "job-1"})
    answer = attempt(webhook_sink.url, "msg-1", body, signing, policy=TRIALS, timeout=5)
    assert isinstance(answer, Answer)
    [request] = webhook_sink.wait_for_requests()
    headers = dict(request.headers.items())
    for secret in (older, newest):
        assert Webhook(secret.get_secret_value()).verify(request.body, headers) == {"id": "job-1"}
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(oldest.get_secret_value()).verify(request.body, headers)


def test_a_teams_first_webhook_makes_its_secret_and_later_ones_do_not(db: Database, delivery: str) -> None:
    plan(db, read(db, delivery).job_id)
    assert len(db.read(secrets.list_secrets, "red")) == 1
    assert db.read(secrets.list_secrets, "blue") == []


def test_secrets_lie_sealed(db: Database) -> None:
    _, secret = db.write(secrets.create_secret, CIPHER, "red")
    [row] = db.read(lambda session: session.execute(select(WebhookSecret.__table__)).all())
    assert secret.get_secret_value().encode() not in b"".join(part for part in row if isinstance(part, bytes))


def test_the_body_cannot_be_changed_under_its_signature() -> None:
    secret = make_secret()
    headers = signed_headers("msg-1", datetime.now(UTC), "{}", [secret])
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(secret.get_secret_value()).verify(b'{"a":1}', dict(headers))


@pytest.mark.parametrize(
    ("answer", "decision"),
    [(SinkAnswer(503, {"Retry-After": "7"}), 7.0), (SinkAnswer(410), None), (SinkAnswer(200, body=b"x" * 5000), None)],
)
def test_what_a_real_receiver_says_decides(
    webhook_sink: WebhookSink, answer: SinkAnswer, decision: float | None
) -> None:
    webhook_sink.answer(answer)
    got = attempt(webhook_sink.url, "msg-1", "{}", [make_secret()], policy=TRIALS, timeout=5)
    assert decide(got, 1, (0, 5), 0.0).pause == decision


def test_a_receiver_on_this_machine_is_not_reached_without_leave(webhook_sink: WebhookSink) -> None:
    got = attempt(webhook_sink.url, "msg-1", "{}", [make_secret()], policy=Policy(), timeout=5)
    assert not isinstance(got, Answer)
    assert webhook_sink.requests == []
