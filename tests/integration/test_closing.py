"""Storing and closing the log of an ended job, whatever Redis and the object store do meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database, now_plus
from ansible_api.deliveries import store as deliveries
from ansible_api.errors import Unavailable
from ansible_api.events import keys
from ansible_api.events.publish import Publisher, mark_end
from ansible_api.events.spool import path_of
from ansible_api.jobs import closing, store
from ansible_api.jobs.state import LogStatus, Status
from ansible_api.jobs.store import Fence
from ansible_api.objects import with_store
from ansible_api.settings import Settings
from ansible_api.tasks import worker as workers
from ansible_api.tasks.close import close_job
from ansible_api.tasks.rescue import rescue
from ansible_api.tasks.upload import outcome
from ansible_api.tasks.worker import Worker, create_worker
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import OWNER, new_job, past, put, row, running
from tests.integration.spools import after_reset, event, lines, spool
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

EVENTS = 40


@pytest.fixture
def worker(
    db: Database, settings: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    """What tasks see as theirs."""
    redis_server.process.revive()
    redis_server.flush()
    made = create_worker(settings.model_copy(update={"redis_url": SecretStr(redis_server.url)}), "node")
    monkeypatch.setattr(workers._Process, "worker", made)
    yield made
    made.db.close()
    made.redis.close()


@pytest.fixture
def ended(db: Database, worker: Worker) -> Fence:
    """A job that has ended well and is not closed; half of its events are in segments."""
    fence = running(db)
    folder = worker.settings.state_dir / "spool"
    folder.mkdir(parents=True)

    def keep(key: str, data: bytes) -> None:
        with_store(worker.settings, lambda objects: objects.put(key, data))

    place = {"job_id": fence.job_id, "attempt": 1, "spool": path_of(folder, fence.job_id, 1)}
    published = keys.stream(fence.job_id, 1)
    with Publisher(worker.redis, keep, hot_limit=1, **place) as publisher:
        for seq in range(1, EVENTS + 1):
            publisher.append(event(seq))
            if seq == EVENTS // 2:
                wait_for(lambda: worker.redis.xrange(published, min=f"{EVENTS // 2}-0"), message="not published")
    db.write(store.finish, fence, Status.SUCCESSFUL, events=EVENTS)
    mark_end(worker.redis, fence.job_id, 1, EVENTS)
    return fence


def uploads(worker: Worker, fence: Fence) -> list[dict[str, Any]]:
    return [outcome(worker.settings, worker.db, fence.job_id, 1, product) for product in ("log", "events")]


def objects(worker: Worker, fence: Fence) -> list[str]:
    async def names(store: Any) -> list[str]:
        return [name async for name in store.keys(f"jobs/{fence.job_id}/")]

    found = with_store(worker.settings, names)
    return [name.removeprefix(f"jobs/{fence.job_id}/1/").partition("/")[0] for name in found]


def stored(worker: Worker, fence: Fence) -> bytes:
    path = worker.settings.objects_dir / keys.events_object(fence.job_id, 1)  # type: ignore[operator]
    return path.read_bytes()


def test_a_whole_log_is_stored_once_and_its_segments_go(db: Database, worker: Worker, ended: Fence) -> None:
    first, second = uploads(worker, ended), uploads(worker, ended)
    for each in (first, second, first):
        close_job(each, ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "stored"
    assert sorted(product.kind for product in db.read(store.objects, ended.job_id)) == ["events", "log"]
    assert objects(worker, ended) == ["events.ndjson", "log.txt"]
    assert stored(worker, ended) == lines(EVENTS)


@pytest.mark.parametrize("attempt", [0, 2])
def test_an_upload_of_an_attempt_that_is_not_the_last_stores_nothing(
    worker: Worker, ended: Fence, attempt: int
) -> None:
    before = objects(worker, ended)
    told = [outcome(worker.settings, worker.db, ended.job_id, attempt, product) for product in ("log", "events")]
    close_job(told, ended.job_id, attempt)
    assert ({each["status"] for each in told}, objects(worker, ended)) == ({"failed"}, before)


def test_a_closing_without_the_outcomes_of_all_products_changes_nothing(
    db: Database, worker: Worker, ended: Fence
) -> None:
    told = uploads(worker, ended)
    for some in ([], told[:1], told[1:]):
        close_job(some, ended.job_id, 1)
        assert row(db, ended.job_id)["log_status"] == "pending"


def test_an_upload_of_a_job_that_runs_stores_nothing(db: Database, worker: Worker) -> None:
    fence = running(db)
    assert [each["status"] for each in uploads(worker, fence)] == ["failed", "failed"]
    assert objects(worker, fence) == []


def test_a_stored_log_leaves_nothing_of_earlier_attempts_and_the_files_of_its_own(
    db: Database, worker: Worker, ended: Fence
) -> None:
    others = [keys.segments(ended.job_id, 0) + "rest.ndjson", keys.artifact(ended.job_id, 0, 0)]
    own = keys.artifact(ended.job_id, 1, 0)

    def put_each() -> None:
        for name in (*others, own):
            with_store(worker.settings, lambda store, name=name: store.put(name, b"x"))

    put_each()
    told = uploads(worker, ended)
    for _ in ("at first", "sent again after its sender died"):
        put_each()
        close_job(told, ended.job_id, 1)
        assert objects(worker, ended) == ["artifacts", "events.ndjson", "log.txt"]


def test_an_upload_that_begins_after_the_segments_went_stores_the_same(worker: Worker, ended: Fence) -> None:
    close_job(uploads(worker, ended), ended.job_id, 1)
    worker.redis.flushall()
    assert {each["status"] for each in uploads(worker, ended)} == {"stored"}
    assert stored(worker, ended) == lines(EVENTS)


def test_a_log_that_could_not_be_stored_releases_the_webhook_and_is_tried_again(
    db: Database, worker: Worker, ended: Fence, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = Cipher.from_setting(SecretStr(MASTER_KEY))
    delivery = db.write(deliveries.plan, cipher, team="red", job_id=ended.job_id, url="https://ci.example.com/hook")
    told = []
    monkeypatch.setattr(worker.queue, "deliver", told.append)
    good = uploads(worker, ended)
    close_job([good[0], {**good[1], "status": "failed"}], ended.job_id, 1)
    job = row(db, ended.job_id)
    assert (job["log_status"], job["closed_at"], told) == ("failed", None, [delivery.id])
    assert "segments" in objects(worker, ended)
    assert db.read(closing.unclosed) == []  # not at once
    put(db, ended.job_id, republish_at=past())
    [due] = db.read(closing.unclosed)
    assert [db.write(closing.mark_closing, due) for _ in range(2)] == [True, False]
    assert db.read(closing.unclosed) == []
    close_job(uploads(worker, ended), ended.job_id, 1)
    assert (row(db, ended.job_id)["log_status"], told) == ("stored", [delivery.id])
    assert "segments" not in objects(worker, ended)


def test_a_log_that_cannot_be_stored_for_a_day_is_given_up(db: Database, worker: Worker, ended: Fence) -> None:
    failed = [{"kind": product, "status": "failed", "expected": EVENTS} for product in ("log", "events")]
    pauses = []
    while row(db, ended.job_id)["closed_at"] is None:
        put(db, ended.job_id, republish_at=past())
        [due] = db.read(closing.unclosed)
        assert db.write(closing.mark_closing, due)
        now = db.read(lambda session: session.scalar(now_plus().select()))
        pauses.append((row(db, ended.job_id)["republish_at"] - now).total_seconds())
        close_job(failed, ended.job_id, 1)
    assert [round(pause) for pause in pauses[:3]] == [30, 60, 120]
    assert max(pauses) <= 3600
    assert 20 * 3600 < sum(pauses) < 28 * 3600
    assert row(db, ended.job_id)["log_status"] == "failed"


@pytest.mark.parametrize("less", ["partial", "failed"])
def test_a_whole_log_takes_the_place_of_less_whichever_closing_comes_first(
    db: Database, worker: Worker, ended: Fence, monkeypatch: pytest.MonkeyPatch, less: str
) -> None:
    cipher = Cipher.from_setting(SecretStr(MASTER_KEY))
    delivery = db.write(deliveries.plan, cipher, team="red", job_id=ended.job_id, url="https://ci.example.com/hook")
    told = []
    monkeypatch.setattr(worker.queue, "deliver", told.append)
    put(db, ended.job_id, finished_at=past(60), republish_count=closing.CLOSE_TRIES)
    worker.redis.flushall()
    first = [{**each, "status": less} for each in uploads(worker, ended)]
    rescue(db, worker.settings)
    _spool(worker, ended).unlink()  # nothing will close the log once more
    whole = uploads(worker, ended)
    close_job(first, ended.job_id, 1)
    closed = row(db, ended.job_id)
    assert (closed["log_status"], bool(closed["closed_at"])) == (less, True)
    for late in (whole, first):
        close_job(late, ended.job_id, 1)
        assert row(db, ended.job_id)["log_status"] == "stored"
        assert objects(worker, ended) == ["events.ndjson", "log.txt"]
    assert stored(worker, ended) == lines(EVENTS)
    names = {product.key.rpartition("/")[2] for product in db.read(store.objects, ended.job_id)}
    assert names == {"events.ndjson", "log.txt"}
    assert told == [delivery.id]


def counted(fence: Fence, status: str) -> list[float]:
    """Of the jobs in a queue of that job's own: how many ended, of how many it is told for how long they waited and for
    how long they ran; the seconds of both."""
    of_queue, of_both = {"queue": fence.job_id}, {"queue": fence.job_id, "status": status}
    series = [
        ("ansible_api_jobs_ended_total", of_both),
        ("ansible_api_queue_seconds_count", of_queue),
        ("ansible_api_run_seconds_count", of_both),
        ("ansible_api_queue_seconds_sum", of_queue),
        ("ansible_api_run_seconds_sum", of_both),
    ]
    return [REGISTRY.get_sample_value(name, labels) or 0.0 for name, labels in series]


def test_an_ended_job_is_counted_with_its_times_by_who_closes_it(db: Database, worker: Worker, ended: Fence) -> None:
    put(
        db,
        ended.job_id,
        queue=ended.job_id,
        queued_at=past(60),
        started_at=past(20),
        finished_at=past(5),
        status="lost",
    )
    close_job(uploads(worker, ended), ended.job_id, 1)
    assert counted(ended, "lost") == [1, 1, 1, pytest.approx(40, abs=0.1), pytest.approx(15, abs=0.1)]


def test_a_job_that_is_closed_again_and_again_is_counted_once(db: Database, worker: Worker, ended: Fence) -> None:
    put(db, ended.job_id, queue=ended.job_id)
    worker.redis.flushall()
    less = uploads(worker, ended)
    for status in (LogStatus.FAILED, LogStatus.FAILED, LogStatus.PARTIAL):
        close_job([{**each, "status": status} for each in less], ended.job_id, 1)
        assert counted(ended, "successful")[:3] == [1, 1, 1]
    rescue(db, worker.settings)
    close_job(uploads(worker, ended), ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "stored"
    assert counted(ended, "successful")[:3] == [1, 1, 1]


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_job_that_is_canceled_while_it_waits_has_no_time_of_a_start(
    db: Database, worker: Worker, attempt: int
) -> None:
    fence = running(db) if attempt else Fence(new_job(db), 0, OWNER)
    db.write(store.hand_back, fence, store.Return("away", "git is away", 30))
    put(db, fence.job_id, queue=fence.job_id)
    db.write(store.cancel_queued, "red", fence.job_id)
    told = uploads(worker, fence) if attempt else []
    for _ in range(2):
        close_job(told, fence.job_id, attempt)
    assert counted(fence, "canceled")[:3] == [1, 0, 0]


def test_a_closing_that_was_sent_a_thousand_times_is_sent_again_after_an_hour(db: Database, ended: Fence) -> None:
    put(db, ended.job_id, republish_at=past(), republish_count=1023)
    [due] = db.read(closing.unclosed)
    assert db.write(closing.mark_closing, due)
    now = db.read(lambda session: session.scalar(now_plus().select()))
    assert round((row(db, ended.job_id)["republish_at"] - now).total_seconds() / 60) == 60


def test_a_log_without_its_end_is_partial_until_its_spool_is_found(db: Database, worker: Worker, ended: Fence) -> None:
    worker.redis.flushall()
    close_job(uploads(worker, ended), ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "partial"
    assert {"log.partial.txt", "segments"} <= {*objects(worker, ended)}
    rescue(db, worker.settings)
    assert row(db, ended.job_id)["log_status"] == "pending"
    close_job(uploads(worker, ended), ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "stored"
    assert objects(worker, ended) == ["events.ndjson", "log.txt"]
    assert stored(worker, ended) == lines(EVENTS)
    rescue(db, worker.settings)
    assert list((worker.settings.state_dir / "spool").iterdir()) == []


@pytest.mark.parametrize("keep", [0, 10, 30])
def test_a_log_with_more_than_a_reset_machine_kept_is_closed_once_and_never_called_whole(
    db: Database, worker: Worker, ended: Fence, keep: int
) -> None:
    put(db, ended.job_id, events=None)
    path = after_reset(_spool(worker, ended), keep=keep)
    close_job(uploads(worker, ended), ended.job_id, 1)
    closed = row(db, ended.job_id)
    assert closed["log_status"] == "partial"
    for stream_is_there in (True, True, False):
        if not stream_is_there:
            worker.redis.flushall()
        rescue(db, worker.settings)
        assert row(db, ended.job_id) == closed
    assert _partial(worker, ended) == lines(EVENTS)
    assert not path.exists()


def test_a_log_with_less_than_a_reset_machine_kept_is_closed_again_with_that(db: Database, worker: Worker) -> None:
    fence = running(db, play_started_at=now_plus())
    path = after_reset(spool(worker.settings.state_dir, fence, EVENTS), keep=30)
    db.write(store.finish, fence, Status.LOST)
    story = []
    for _ in range(3):
        close_job(uploads(worker, fence), fence.job_id, 1)
        rescue(db, worker.settings)
        story.append(row(db, fence.job_id)["log_status"])
    assert story == ["pending", "partial", "partial"]
    assert _partial(worker, fence) == lines(30)
    assert not path.exists()


def test_a_log_with_more_events_than_its_count_is_partial_for_good(db: Database, worker: Worker, ended: Fence) -> None:
    put(db, ended.job_id, events=EVENTS // 2)
    after_reset(_spool(worker, ended), keep=EVENTS // 2)
    close_job(uploads(worker, ended), ended.job_id, 1)
    worker.redis.flushall()
    for _ in range(2):
        rescue(db, worker.settings)
        close_job(uploads(worker, ended), ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "partial"


def test_a_rescue_that_ended_between_its_two_steps_is_completed(
    db: Database, worker: Worker, ended: Fence, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.redis.flushall()
    close_job(uploads(worker, ended), ended.job_id, 1)
    with monkeypatch.context() as patch:
        patch.setattr(closing, "rescued", _unavailable)
        with pytest.raises(Unavailable):
            rescue(db, worker.settings)
    rescue(db, worker.settings)
    close_job(uploads(worker, ended), ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "stored"


def _unavailable(*_args: Any, **_values: Any) -> bool:
    raise Unavailable("the database is away")


def _spool(worker: Worker, fence: Fence) -> Path:
    return path_of(worker.settings.state_dir / "spool", fence.job_id, 1)


def _partial(worker: Worker, fence: Fence) -> bytes:
    path = worker.settings.objects_dir / keys.events_object(fence.job_id, 1, whole=False)  # type: ignore[operator]
    return path.read_bytes()


def test_a_log_of_which_nobody_knows_how_long_it_was_is_partial(db: Database, worker: Worker, ended: Fence) -> None:
    put(db, ended.job_id, events=None)
    close_job(uploads(worker, ended), ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "partial"
    keys_ = sorted(product.key.rpartition("/")[2] for product in db.read(store.objects, ended.job_id))
    assert keys_ == ["events.partial.ndjson", "log.partial.txt"]


def test_a_closing_that_began_before_a_rescue_changes_nothing(db: Database, worker: Worker, ended: Fence) -> None:
    put(db, ended.job_id, events=None)
    before = uploads(worker, ended)
    put(db, ended.job_id, events=EVENTS)
    close_job(before, ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == "pending"
    between = [before[0], *uploads(worker, ended)[1:]]
    close_job(between, ended.job_id, 1)
    assert row(db, ended.job_id)["log_status"] == LogStatus.PENDING
