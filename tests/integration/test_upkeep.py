"""Upkeep repairs what lost messages and dead workers leave, with a real broker that comes and goes."""

import signal
import subprocess
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database, now_plus
from ansible_api.deliveries import store as deliveries
from ansible_api.execution.verdict import Outcome
from ansible_api.execution.workspace import MARKER
from ansible_api.jobs import repairs, store
from ansible_api.jobs.repairs import DeadAttempt
from ansible_api.jobs.state import Status
from ansible_api.processes import marked
from ansible_api.routing import Queue
from ansible_api.settings import Settings
from ansible_api.tasks import upkeep as repairing
from ansible_api.tasks.results import FOLDER, Kept, Result
from ansible_api.tasks.worker import dead_attempts, lease_owner, node_name
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import OWNER, SPEC, at_once, new_job, past, put, row, running, status
from tests.integration.upkeeping import NewUpkeep, messages, tick_until
from tests.servers.mariadb import MariaDBServer
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

RERUN = {**SPEC, "options": {"on_worker_loss": "rerun"}}


@pytest.mark.parametrize(
    ("columns", "becomes", "code"),
    [
        ({}, Status.QUEUED, None),
        ({"failures": 2}, Status.ERROR, "worker_lost"),
        ({"play_started_at": now_plus()}, Status.LOST, "worker_lost"),
        ({"failures": 2, "play_started_at": now_plus()}, Status.LOST, "worker_lost"),
        ({"cancel_requested_at": now_plus()}, Status.CANCELED, None),
        ({"cancel_requested_at": now_plus(), "play_started_at": now_plus()}, Status.LOST, "worker_lost"),
        ({"spec": RERUN, "play_started_at": now_plus()}, Status.QUEUED, None),
        ({"spec": RERUN, "failures": 2, "play_started_at": now_plus()}, Status.LOST, "worker_lost"),
        ({"spec": RERUN, "cancel_requested_at": now_plus(), "play_started_at": now_plus()}, Status.CANCELED, None),
    ],
)
def test_what_an_expired_lease_makes_of_a_job(
    db: Database, new_upkeep: NewUpkeep, columns: dict[str, Any], becomes: Status, code: str | None
) -> None:
    fence = running(db, lease_until=past(), **columns)
    tick_until(new_upkeep(), lambda: status(db, fence.job_id) is not Status.RUNNING)
    job = row(db, fence.job_id)
    assert (job["status"], job["error_code"]) == (becomes, code)
    assert (job["finished_at"] is not None) is becomes.terminal
    assert job["lease_until"] is None
    assert becomes is not Status.QUEUED or job["play_started_at"] is None


def test_a_job_whose_worker_vanished_before_the_play_is_published_at_once(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    fence = running(db, lease_until=past())
    tick_until(new_upkeep(republish_after=60), lambda: status(db, fence.job_id) is Status.QUEUED)
    assert messages(redis_under_test) == 1
    assert db.write(store.claim, fence.job_id, "node:2/2", 60.0)


def test_a_living_lease_is_left_alone(db: Database, new_upkeep: NewUpkeep) -> None:
    fence = running(db)
    before = row(db, fence.job_id)
    upkeep = new_upkeep()
    for _ in range(3):
        upkeep.tick()
    assert row(db, fence.job_id) == before


def test_no_lease_is_ended_before_the_database_was_healthy_for_a_whole_lease(
    db: Database, new_upkeep: NewUpkeep
) -> None:
    fence = running(db, lease_until=past())
    upkeep = new_upkeep(lease_preparing=60, lease_playing=60)
    for _ in range(3):
        upkeep.tick()
    assert status(db, fence.job_id) is Status.RUNNING


def test_of_many_upkeeps_at_once_one_ends_a_lease(db: Database) -> None:
    fence = running(db, lease_until=past(), play_started_at=now_plus())
    job = db.read(store.get, fence.job_id)
    assert job is not None
    ends = at_once(6, lambda _: db.write(repairs.end_expired, job, max_attempts=3))
    assert sorted(map(str, ends)) == ["None"] * 5 + ["lost"]


def test_a_lease_that_was_renewed_meanwhile_is_not_ended(db: Database) -> None:
    fence = running(db, lease_until=past(), play_started_at=now_plus())
    [job] = db.read(repairs.expired)
    db.write(store.beat, fence, 60.0)
    assert db.write(repairs.end_expired, job, max_attempts=3) is None
    assert status(db, fence.job_id) is Status.RUNNING


def test_a_job_cancelled_while_its_expired_lease_is_looked_at_does_not_wait_for_ever(db: Database) -> None:
    fence = running(db, lease_until=past())
    [job] = db.read(repairs.expired)
    db.write(store.request_cancel, "red", fence.job_id)
    assert db.write(repairs.end_expired, job, max_attempts=3) is Status.CANCELED


def test_the_job_of_a_dead_child_does_not_wait_for_the_end_of_its_lease(db: Database, new_upkeep: NewUpkeep) -> None:
    dead = lease_owner(node_name(), 77)
    own = running(db, lease_owner=dead, play_started_at=now_plus())
    others = running(db, lease_owner=lease_owner(node_name(), 78), play_started_at=now_plus())
    dead_attempts.put(DeadAttempt(own.job_id, owner=dead))
    dead_attempts.put(DeadAttempt(others.job_id, owner=dead))  # another child has claimed it since
    new_upkeep(lease_preparing=60, lease_playing=60).tick()
    assert (status(db, own.job_id), status(db, others.job_id)) == (Status.LOST, Status.RUNNING)


def test_an_ended_job_that_nobody_closed_is_closed(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    fence = running(db)
    db.write(store.finish, fence, Status.SUCCESSFUL)
    upkeep = new_upkeep()
    upkeep.tick()
    assert messages(redis_under_test, Queue.DELIVERY) == 0  # the chord has its time
    put(db, fence.job_id, republish_at=past())
    for _ in range(3):
        upkeep.tick()
    assert messages(redis_under_test, Queue.DELIVERY) == 2  # both uploads, once: they have twice the time now
    with Redis.from_url(redis_under_test.url) as client:
        assert client.pubsub_channels() == []  # nobody waits for their results


def test_a_webhook_that_is_due_is_sent_once_its_job_has_ended(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    fence = running(db)
    cipher = Cipher.from_setting(SecretStr(MASTER_KEY))
    db.write(deliveries.plan, cipher, team="red", job_id=fence.job_id, url="https://ci.example.com/hook")
    upkeep = new_upkeep(webhook_hold=1)
    upkeep.tick()
    assert messages(redis_under_test, Queue.DELIVERY) == 0
    put(db, fence.job_id, status=Status.SUCCESSFUL, finished_at=past(2), republish_at=now_plus(60))
    upkeep.tick()
    assert messages(redis_under_test, Queue.DELIVERY) == 1


def test_a_due_webhook_is_sent_although_many_uploads_wait_but_not_at_every_tick(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "DELIVERY_BACKLOG", 4)
    upkeep = new_upkeep(webhook_hold=1)
    for number in range(2):
        upkeep._queue.close(f"job-{number}", attempt=1)
    fence = running(db)
    cipher = Cipher.from_setting(SecretStr(MASTER_KEY))
    db.write(deliveries.plan, cipher, team="red", job_id=fence.job_id, url="https://ci.example.com/hook")
    put(db, fence.job_id, status=Status.SUCCESSFUL, finished_at=past(2), republish_at=now_plus(60))
    for _ in range(3):
        upkeep.tick()
        assert messages(redis_under_test, Queue.DELIVERY) == 5
    monkeypatch.setattr(repairing, "SENT_AGAIN", 0.0)
    upkeep.tick()
    assert messages(redis_under_test, Queue.DELIVERY) == 6


def test_leases_end_while_the_broker_is_away_and_messages_follow_when_it_is_back(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    waiting = new_job(db, republish_at=past())
    fence = running(db, lease_until=past())
    upkeep = new_upkeep(lease_preparing=0.5, lease_playing=0.5)
    redis_under_test.process.kill()
    try:
        tick_until(upkeep, lambda: status(db, fence.job_id) is Status.QUEUED)
    finally:
        redis_under_test.process.revive()
    for job_id in (waiting, fence.job_id):
        put(db, job_id, republish_at=past())
    tick_until(upkeep, lambda: messages(redis_under_test) == 2)


@pytest.mark.parametrize("empty_url", ["mariadb"], indirect=True)  # a file is never away
def test_a_database_outage_starts_the_patience_with_leases_anew(
    mariadb_server: MariaDBServer, new_upkeep: NewUpkeep, db: Database
) -> None:
    fence = running(db, lease_until=past())
    upkeep = new_upkeep(lease_preparing=1, lease_playing=1)
    upkeep.tick()
    mariadb_server.process.kill()
    try:
        upkeep.tick()
    finally:
        mariadb_server.process.revive()
    upkeep.tick()
    assert status(db, fence.job_id) is Status.RUNNING
    tick_until(upkeep, lambda: status(db, fence.job_id) is Status.QUEUED)


def test_repairs_do_not_fill_the_broker_while_no_worker_delivers(
    db: Database, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    for _ in range(30):
        new_job(db, status=Status.CANCELED, finished_at=past(60), republish_at=past())
    upkeep = new_upkeep()

    for _ in range(10):
        upkeep.tick()

    assert messages(redis_under_test, Queue.DELIVERY) == 30


def test_results_on_disk_come_before_the_end_of_their_attempts_also_while_the_broker_is_away(
    db: Database, settings: Settings, new_upkeep: NewUpkeep, redis_under_test: RedisServer
) -> None:
    upkeep = new_upkeep()
    fences = [running(db, play_started_at=now_plus()) for _ in range(2)]
    for fence in fences:
        Kept(settings.state_dir / FOLDER, Result(fence, Outcome(Status.SUCCESSFUL, 0))).leave()
        dead_attempts.put(DeadAttempt(fence.job_id, owner=OWNER))
    redis_under_test.process.kill()
    try:
        upkeep.tick()
    finally:
        redis_under_test.process.revive()
    assert [status(db, fence.job_id) for fence in fences] == ["successful", "successful"]
    assert dead_attempts.empty()


def test_what_is_left_of_a_dead_childs_play_is_killed_before_its_job_ends(db: Database, new_upkeep: NewUpkeep) -> None:
    fence = running(db, play_started_at=now_plus())
    dead_attempts.put(DeadAttempt(fence.job_id, owner=OWNER))
    with subprocess.Popen(["sleep", "60"], env={MARKER: f"{fence.job_id}.1"}) as left:
        wait_for(lambda: list(marked(MARKER, f"{fence.job_id}.1")))
        new_upkeep().tick()
        assert left.wait(5) == -signal.SIGKILL
    assert status(db, fence.job_id) == "lost"
