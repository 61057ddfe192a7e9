"""A job that waits says what holds it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from ansible_api.db import Database, now_plus
from ansible_api.jobs import queues, service, store, workers
from ansible_api.jobs.model import WorkerNode
from ansible_api.jobs.why_waiting import WhyWaiting
from ansible_api.routing import Queue
from ansible_api.settings import QueueLimits
from tests.integration.rows import new_job, past, put, running


def why(db: Database, job_id: str, **limits: QueueLimits) -> WhyWaiting:
    waiting = db.read(service.view, "red", job_id, limits=limits).why_waiting
    assert waiting is not None
    return waiting


def serve(db: Database, *queues: str, slots: int = 2, node: str = "node:1") -> None:
    db.write(workers.register, node, queues, slots)


def test_nobody_serves_its_queue(db: Database) -> None:
    serve(db, "git-heavy", "delivery")
    waiting = why(db, new_job(db))
    assert (waiting.reason, waiting.position) == ("no_worker", 1)
    assert "default" in waiting.message


def test_a_free_slot_will_take_it(db: Database) -> None:
    serve(db, "default")
    assert why(db, new_job(db)).reason == "starting"


def test_others_are_before_it_and_the_slots_are_taken(db: Database) -> None:
    serve(db, "default", slots=1)
    running(db)
    first, other = new_job(db), new_job(db, queue="git-heavy")
    urgent, last = new_job(db, urgency=600.0), new_job(db)
    assert [why(db, job_id).position for job_id in (urgent, first, last, other)] == [1, 2, 3, 1]
    assert why(db, last).message.startswith("1 jobs run on the 1 slots that serve the queue default, and about 2 go")


def test_jobs_of_other_teams_and_keys_go_before_it_as_many_as_its_own(db: Database) -> None:
    serve(db, "default", slots=1)
    for _ in range(9):
        new_job(db, team="blue")
    new_job(db, key_id="another")
    first, second, third = (new_job(db) for _ in range(3))
    assert [why(db, job_id).position for job_id in (first, second, third)] == [1, 4, 6]


def test_its_queue_is_paused(db: Database) -> None:
    serve(db, "default")
    job_id = new_job(db)
    db.write(queues.pause, Queue.DEFAULT, "key-1")
    db.write(queues.pause, Queue.DEFAULT, "key-1")
    assert why(db, job_id).reason == "queue_paused"
    db.write(queues.resume, Queue.DEFAULT)
    assert why(db, job_id).reason == "starting"


def test_as_many_jobs_of_its_queue_run_as_may(db: Database) -> None:
    serve(db, "default", slots=4)
    running(db)
    waiting = new_job(db)
    assert why(db, waiting, default=QueueLimits(max_running=2)).reason == "starting"
    full = why(db, waiting, default=QueueLimits(max_running=1))
    assert full.reason == "queue_full"
    assert "1 jobs of the queue default" in full.message


def test_its_concurrency_group_is_full(db: Database) -> None:
    serve(db, "default")
    holder, waiting = (new_job(db, concurrency_group="web", concurrency_limit=1) for _ in range(2))
    assert why(db, waiting).reason == "starting"
    assert db.write(store.claim, holder, "node:1/1", 60.0)
    assert why(db, waiting).message == f"its concurrency group web is full: {holder} runs"


def test_jobs_of_other_queues_take_the_slots_of_a_worker_that_serves_several(db: Database) -> None:
    serve(db, "default", "long-running", slots=1)
    running(db, queue="long-running")
    first = new_job(db)
    assert why(db, first).reason == "busy"
    serve(db, "default", slots=1, node="node:2")
    assert why(db, first).reason == "starting"
    assert why(db, new_job(db)).message.startswith(
        "1 jobs run on the 2 slots that serve the queue default, and about 1 go"
    )


def test_jobs_on_workers_that_do_not_serve_its_queue_take_none_of_its_slots(db: Database) -> None:
    serve(db, "default", slots=1)
    serve(db, "long-running", slots=1, node="node:11")
    running(db, queue="long-running", lease_owner="node:11/2")
    assert why(db, new_job(db)).reason == "starting"


def test_jobs_in_the_pause_before_a_retry_do_not_stand_before_it(db: Database) -> None:
    serve(db, "default", slots=1)
    fence = running(db)
    db.write(store.hand_back, fence, store.Return("git_unreachable", "no route to host", 30))
    last = new_job(db)
    assert (why(db, last).reason, why(db, last).position) == ("starting", 1)
    put(db, fence.job_id, next_attempt_at=past())
    assert (why(db, last).reason, why(db, last).position) == ("busy", 2)


def test_it_is_tried_again_later(db: Database) -> None:
    serve(db, "default")
    fence = running(db)
    db.write(store.hand_back, fence, store.Return("git_unreachable", "no route to host", 30))
    waiting = why(db, fence.job_id)
    assert waiting.reason == "retry_pause"
    assert waiting.message.endswith("git_unreachable: no route to host")
    due = datetime.strptime(waiting.message.split()[5].rstrip(";"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(due - datetime.now(UTC) - timedelta(seconds=30)) < timedelta(seconds=10)


@pytest.mark.parametrize("gone", ["silent", "stopped"])
def test_a_worker_that_has_gone_serves_nothing(db: Database, gone: str) -> None:
    serve(db, "default")
    if gone == "silent":
        silence = update(WorkerNode).values(seen_at=now_plus(-workers.SILENT_AFTER - 1))
        db.write(lambda session: session.execute(silence) and None)
    else:
        db.write(workers.forget, "node:1")
    assert why(db, new_job(db)).reason == "no_worker"


def test_a_worker_speaks_up_again_and_again_and_counts_once(db: Database) -> None:
    for _ in range(3):
        serve(db, "default", slots=2)
    serve(db, "default", "git-heavy", slots=3, node="node:2")
    assert [(row.node, row.slots) for row in db.read(workers.serving, "default")] == [("node:1", 2), ("node:2", 3)]
    assert [row.node for row in db.read(workers.serving, "git-heavy")] == ["node:2"]


def test_a_job_that_does_not_wait_has_nothing_to_say(db: Database) -> None:
    assert db.read(service.view, "red", running(db).job_id).why_waiting is None
