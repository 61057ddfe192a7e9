"""What the queues look like, from rows, on each kind of database."""

import pytest
from sqlalchemy import update

from ansible_api.db import Database, now_plus
from ansible_api.deliveries.figures import waiting
from ansible_api.deliveries.model import Delivery
from ansible_api.jobs import queues, store, workers
from ansible_api.jobs.figures import QueueFigures, of_queues
from ansible_api.jobs.model import WorkerNode
from ansible_api.jobs.state import Status
from ansible_api.routing import Queue
from ansible_api.settings import QueueLimits
from tests.integration.rows import new_job, past, put, running


def of(db: Database, queue: Queue, **limits: int) -> QueueFigures:
    return db.read(of_queues, {queue.value: QueueLimits(**limits)})[queue]


def test_every_queue_is_told_of_also_when_nothing_is_there(db: Database) -> None:
    assert db.read(of_queues, {}) == {queue: QueueFigures() for queue in Queue}
    assert db.read(waiting) == (0, 0.0)


def test_what_waits_and_runs_is_counted_by_queue_and_what_has_ended_is_not(db: Database) -> None:
    new_job(db)
    new_job(db, queue="git-heavy")
    db.write(store.finish, running(db), Status.FAILED)
    running(db, queue="git-heavy")
    assert (of(db, Queue.DEFAULT).queued, of(db, Queue.DEFAULT).running) == (1, 0)
    assert (of(db, Queue.GIT_HEAVY).queued, of(db, Queue.GIT_HEAVY).running) == (1, 1)


def test_a_job_in_the_pause_before_a_retry_waits_but_holds_up_nobody(db: Database) -> None:
    new_job(db, queued_at=past(1000), next_attempt_at=now_plus(60))
    new_job(db, queued_at=past(100))
    new_job(db, queued_at=past(50), next_attempt_at=past(10))
    seen = of(db, Queue.DEFAULT)
    assert (seen.queued, seen.depth) == (3, 2)
    assert seen.oldest == pytest.approx(100, abs=10)


def test_jobs_of_a_paused_queue_wait_but_may_not_start(db: Database) -> None:
    new_job(db, queued_at=past(100))
    new_job(db, queue="git-heavy")
    db.write(queues.pause, Queue.DEFAULT, None)
    paused = of(db, Queue.DEFAULT)
    assert (paused.queued, paused.depth, paused.oldest) == (1, 0, 0.0)
    assert of(db, Queue.GIT_HEAVY).depth == 1
    db.write(queues.resume, Queue.DEFAULT)
    assert of(db, Queue.DEFAULT).depth == 1


def test_jobs_of_a_full_concurrency_group_wait_but_may_not_start(db: Database) -> None:
    group = {"concurrency_group": "web", "concurrency_limit": 2}
    for _ in range(3):
        new_job(db, queued_at=past(100), **group)
    new_job(db, team="blue", queued_at=past(50), **group)  # another team's group
    running(db, queue="git-heavy", **group)
    assert of(db, Queue.DEFAULT).depth == 4
    running(db, queue="git-heavy", **group)
    full = of(db, Queue.DEFAULT)
    assert (full.queued, full.depth) == (4, 1)
    assert full.oldest == pytest.approx(50, abs=10)
    new_job(db, queued_at=past(20), **group | {"concurrency_limit": 3})
    assert of(db, Queue.DEFAULT).depth == 2


def test_jobs_beyond_what_may_run_of_a_queue_wait_but_may_not_start(db: Database) -> None:
    new_job(db, queued_at=past(100))
    running(db)
    assert of(db, Queue.DEFAULT, max_running=2).depth == 1
    full = of(db, Queue.DEFAULT, max_running=1)
    assert (full.queued, full.running, full.depth, full.oldest) == (1, 1, 0, 0.0)


def test_slots_count_for_each_queue_that_a_living_worker_serves(db: Database) -> None:
    db.write(workers.register, "node:1", ["default", "long-running"], 4)
    db.write(workers.register, "node:2", ["default"], 2)
    db.write(workers.register, "silent", ["default"], 8)
    gone = update(WorkerNode).where(WorkerNode.node == "silent").values(seen_at=past(100))
    db.write(lambda session: session.execute(gone) and None)
    running(db)  # by a child of node:1
    default, long = of(db, Queue.DEFAULT), of(db, Queue.LONG_RUNNING)
    assert (default.workers, default.slots, default.busy) == (2, 6, 1)
    assert (long.workers, long.slots, long.busy) == (1, 4, 1)


def test_a_worker_that_drains_serves_no_queue(db: Database) -> None:
    db.write(workers.register, "node:1", ["default"], 4)
    db.write(workers.register, "node:2", ["default"], 2)
    running(db)  # by a child of node:1
    db.write(workers.drain, "node:1")
    seen = of(db, Queue.DEFAULT)
    assert (seen.running, seen.workers, seen.slots, seen.busy) == (1, 1, 2, 0)


def test_the_delivery_queue_holds_logs_to_be_stored_and_webhooks_that_are_due(db: Database) -> None:
    fence = running(db)
    db.write(store.finish, fence, Status.SUCCESSFUL)
    put(db, fence.job_id, finished_at=past(30))
    due = {"state": "pending", "due_at": past(20)}
    later = {"state": "pending", "due_at": now_plus(60)}

    def plan(session: object) -> None:
        for number, state in enumerate((due, later, {"state": "waiting", "due_at": None})):
            row = Delivery(
                id=f"msg-{number}", job_id=fence.job_id, team="red", url="https://x", created_at=now_plus(), **state
            )
            session.add(row)  # type: ignore[attr-defined]

    db.write(plan)
    count, oldest = db.read(waiting)
    assert count == 2
    assert oldest == pytest.approx(30, abs=10)
