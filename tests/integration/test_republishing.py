"""Upkeep publishes again the jobs whose messages were lost, and no others."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, inspect, select

from ansible_api import celery
from ansible_api.db import Database, now_plus
from ansible_api.dispatch import CeleryQueue
from ansible_api.jobs import line, repairs, store
from ansible_api.jobs.model import Job
from ansible_api.routing import Queue
from ansible_api.settings import Settings
from tests.integration.rows import at_once, new_job, past, put, row
from tests.integration.upkeeping import NewUpkeep, messages, tick_until
from tests.servers.redis import RedisServer


@pytest.fixture
def queue(settings: Settings, redis_under_test: RedisServer) -> Iterator[CeleryQueue]:
    """The queue as the API has it."""
    app = celery.create_sender(settings.model_copy(update={"redis_url": SecretStr(redis_under_test.url)}))
    yield CeleryQueue(app)
    celery.dispose(app)


def test_a_lost_message_is_sent_again_until_somebody_claims_the_job(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    job_id = new_job(db, republish_at=past())
    upkeep = new_upkeep()
    upkeep.tick()
    assert messages(redis_under_test) == 1
    redis_under_test.flush()
    tick_until(upkeep, lambda: messages(redis_under_test) == 1)
    db.write(store.claim, job_id, "node:1/1", 60.0)
    redis_under_test.flush()
    put(db, job_id, republish_at=past())
    upkeep.tick()
    assert messages(redis_under_test) == 0


def waiting(db: Database, queue: CeleryQueue, count: int, name: Queue = Queue.DEFAULT) -> list[str]:
    """The ids of jobs that have waited long, with their messages in the broker."""
    first = row(db, new_job(db, queue=name.value, republish_at=past(600)))
    del first["hosts"]
    copies = [{**first, "id": f"{first['id']}-{number}"} for number in range(1, count)]
    db.write(lambda session: session.execute(insert(Job), copies) and None)
    ids = [first["id"], *(copy["id"] for copy in copies)]
    for job_id in ids:
        queue.enqueue(job_id, attempt=1, queue=name, priority=5)
    return ids


def repeated(db: Database) -> set[str]:
    return set(db.read(lambda session: session.scalars(select(Job.id).where(Job.republish_count > 0)).all()))


def test_a_job_whose_message_waits_is_not_published_again(
    db: Database, new_upkeep: NewUpkeep, queue: CeleryQueue
) -> None:
    waiting(db, queue, 5)
    upkeep = new_upkeep()
    for _ in range(3):
        upkeep.tick()
    assert repeated(db) == set()


def test_a_backlog_in_one_queue_keeps_no_lost_message_of_another(
    db: Database, new_upkeep: NewUpkeep, queue: CeleryQueue
) -> None:
    waiting(db, queue, 500, Queue.LONG_RUNNING)
    lost = new_job(db, republish_at=past())
    new_upkeep().tick()
    assert repeated(db) == {lost}


def test_a_lost_message_is_sent_again_whatever_else_waits(
    db: Database, new_upkeep: NewUpkeep, queue: CeleryQueue
) -> None:
    waiting(db, queue, 5)
    lost = new_job(db, republish_at=past())
    new_upkeep().tick()
    assert lost in repeated(db)


def test_a_retry_stands_in_line_and_is_told_of_after_its_pause(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    pausing = new_job(db, republish_after=None, next_attempt_at=now_plus(60))
    upkeep = new_upkeep()
    upkeep.tick()
    assert messages(redis_under_test) == 0
    put(db, pausing, next_attempt_at=past())
    upkeep.tick()
    assert messages(redis_under_test) == 1


def test_of_lost_messages_the_most_urgent_is_sent_first_and_no_spec_is_read(db: Database) -> None:
    usual = new_job(db, republish_at=past(60))
    urgent = new_job(db, priority=9, republish_at=past())
    found = db.read(repairs.unpublished, "default", messages=0)
    assert [job.id for job in found] == [urgent, usual]
    assert all("spec" in inspect(job).unloaded for job in found)
    assert [job.id for job in db.read(repairs.unpublished, "default", messages=0, limit=1)] == [urgent]
    assert db.read(repairs.unpublished, "git-heavy", messages=0) == []


def test_pauses_between_messages_double_up_to_a_limit(db: Database, new_upkeep: NewUpkeep) -> None:
    job_id = new_job(db)
    pauses = []
    for _ in range(9):
        put(db, job_id, republish_at=past())
        job = db.read(store.get, job_id)
        assert job is not None
        assert db.write(repairs.mark_republished, job, 10.0)
        moved = row(db, job_id)
        now = db.read(lambda session: session.scalar(now_plus().select()))
        assert now is not None
        pauses.append(round((moved["republish_at"] - now).total_seconds() / 10))
    assert pauses == [2, 4, 8, 16, 32, 64, 64, 64, 64]


def test_a_job_that_stands_in_line_again_meanwhile_is_not_republished(db: Database) -> None:
    job = db.read(store.get, new_job(db, republish_at=past()))
    assert job is not None
    assert db.write(line.put_back, job.id)
    assert not db.write(repairs.mark_republished, job, 10.0)


def test_jobs_of_a_queue_that_only_a_newer_version_has_keep_no_others_waiting(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    new_job(db, queue="a-new-one", republish_at=past())
    new_job(db, queue="git-heavy", republish_at=past())
    new_upkeep().tick()
    assert messages(redis_under_test, Queue.GIT_HEAVY) == 1


def test_of_many_who_republish_at_once_one_may(db: Database) -> None:
    job_id = new_job(db, republish_at=past())
    job = db.read(store.get, job_id)
    assert job is not None
    assert sum(at_once(6, lambda _: db.write(repairs.mark_republished, job, 10.0))) == 1
