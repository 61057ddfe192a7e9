"""The line in which jobs wait, on both databases."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from ansible_api.db import Database, now_plus
from ansible_api.jobs import line, store, workers
from ansible_api.jobs.line import Rules
from ansible_api.jobs.model import QueuePause
from ansible_api.jobs.state import Status
from ansible_api.jobs.store import Fence
from tests.integration.rows import OWNER, at_once, new_job, put


def take(db: Database, queue: str = "default", **weights: float) -> list[str]:
    rules = Rules(5.0, weights)
    return [job.id for job in db.write(line.publish, queue, db.read(line.choose_next, queue, rules), rules)]


def waiting(db: Database, count: int, **columns: object) -> list[str]:
    """So many jobs that stand in line."""
    return [new_job(db, republish_after=None, **columns) for _ in range(count)]


def slots(db: Database, number: int, node: str = "node:1") -> None:
    db.write(workers.register, node, ["default"], number)


def test_the_broker_is_told_of_no_more_than_can_begin(db: Database) -> None:
    jobs = waiting(db, 9)
    slots(db, 3)
    assert take(db) == jobs[:3]
    assert take(db) == []
    assert db.write(store.claim, jobs[0], "node:1/2", 60.0)
    assert take(db) == []  # a slot less is free, and a message less waits
    db.write(store.cancel_queued, "red", jobs[1])
    assert take(db) == [jobs[3]]


def test_two_that_tell_it_at_the_same_moment_tell_it_of_no_more_and_in_order(db: Database) -> None:
    slots(db, 1)
    for after in range(8):  # so many queries of the first, all the second does
        jobs, told = waiting(db, 2), list[str]()
        with _after_queries(db, after, lambda told=told: told.extend(take(db))):
            told += take(db)
        assert told == jobs[:1], after
        for job_id in jobs:
            db.write(store.cancel_queued, "red", job_id)


@contextmanager
def _after_queries(db: Database, count: int, do: Callable[[], object]) -> Iterator[None]:
    """Do something after so many queries of this thread, once."""
    left = iter(range(count, -1, -1))

    def before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and next(left, None) == 0:
            do()

    event.listen(db.engine, "before_cursor_execute", before)
    yield
    event.remove(db.engine, "before_cursor_execute", before)


def test_without_workers_it_is_told_of_one(db: Database) -> None:
    jobs = waiting(db, 5)
    assert take(db) == jobs[:1]


def test_a_worker_that_is_drained_has_no_slots(db: Database) -> None:
    waiting(db, 9)
    slots(db, 3)
    db.write(workers.drain, "node:1")
    assert len(take(db)) == 1  # as when there is none


def test_what_is_urgent_goes_first_unless_another_has_waited_for_long(db: Database) -> None:
    old, low = waiting(db, 1, urgency=0.0), waiting(db, 1, urgency=0.0)
    high = waiting(db, 1, urgency=9 * 600.0)
    put(db, old[0], turn_at=now_plus(-9 * 600 - 60))
    slots(db, 3)
    assert take(db) == [*old, *high, *low]


def test_a_team_that_floods_a_queue_and_one_that_does_not_take_turns(db: Database) -> None:
    flood, calm = waiting(db, 30, team="flood"), waiting(db, 2, team="calm")
    slots(db, 4)
    assert take(db) == [flood[0], calm[0], flood[1], calm[1]]


def test_the_slots_that_a_key_holds_count_and_weights_do(db: Database) -> None:
    held = [new_job(db, team="flood") for _ in range(2)]
    for job_id in held:
        assert db.write(store.claim, job_id, "node:1/2", 60.0)
    waiting(db, 9, team="flood")
    calm = waiting(db, 9, team="calm")
    slots(db, 4)
    assert take(db) == calm[:2]


def test_lines_take_turns_also_when_there_is_one_slot(db: Database) -> None:
    flood = waiting(db, 4, team="flood", key_id="a")
    other, calm = waiting(db, 2, team="flood", key_id="b"), waiting(db, 2, team="calm")
    slots(db, 1)
    order = []
    for _ in range(8):
        [job_id] = take(db)
        order.append(job_id)
        job = db.write(store.claim, job_id, "node:1/2", 60.0)
        assert job is not None
        db.write(store.finish, Fence(job_id, job.attempt, "node:1/2"), Status.SUCCESSFUL)
    assert order == [flood[0], calm[0], other[0], calm[1], *(flood[1], other[1], *flood[2:])]


def test_what_pauses_before_a_retry_is_not_next(db: Database) -> None:
    pausing, due = waiting(db, 2)
    slots(db, 2)
    put(db, pausing, next_attempt_at=now_plus(60))
    assert take(db) == [due]
    put(db, pausing, next_attempt_at=now_plus(-1))
    assert take(db) == [pausing]


def test_of_a_paused_queue_nothing_is_told_and_nothing_begins(db: Database) -> None:
    known = new_job(db)
    jobs = waiting(db, 2)
    db.write(lambda session: session.add(QueuePause(queue="default", paused_at=now_plus())))
    assert take(db) == []
    assert db.write(store.claim, known, OWNER, 60.0) is None
    assert db.write(line.put_back, known)
    db.write(lambda session: session.delete(session.get_one(QueuePause, "default")))
    slots(db, 3)
    assert take(db) == [known, *jobs]


def test_two_who_look_at_once_tell_of_each_job_once(db: Database) -> None:
    jobs = waiting(db, 20)
    slots(db, 20)
    found = Counter(job_id for some in at_once(4, lambda _: take(db)) for job_id in some)
    assert found == Counter(jobs)


def test_a_new_job_goes_ahead_only_when_nobody_waits_and_a_slot_is_free(db: Database) -> None:
    assert db.read(line.goes_ahead, "default")
    slots(db, 1)
    job_id = new_job(db)
    assert not db.read(line.goes_ahead, "default")
    assert db.read(line.goes_ahead, "git-heavy")
    assert db.write(store.claim, job_id, "node:1/2", 60.0)
    assert not db.read(line.goes_ahead, "default")
    slots(db, 1, node="node:2")
    assert db.read(line.goes_ahead, "default")


@pytest.mark.parametrize("status", ["running", "successful"])
def test_a_job_that_waits_no_more_is_not_put_back(db: Database, status: str) -> None:
    job_id = new_job(db)
    put(db, job_id, status=status)
    assert not db.write(line.put_back, job_id)


class TestGroups:
    def grouped(self, db: Database, count: int, limit: int = 1, **columns: object) -> list[str]:
        return waiting(db, count, concurrency_group="web", concurrency_limit=limit, **columns)

    def test_of_a_group_no_more_than_its_limit_is_told_of(self, db: Database) -> None:
        jobs, alone = self.grouped(db, 5, limit=2), waiting(db, 1)
        slots(db, 8)
        assert take(db) == [*jobs[:2], *alone]

    def test_groups_of_one_name_in_two_teams_are_two(self, db: Database) -> None:
        self.grouped(db, 2)
        self.grouped(db, 2, team="blue")
        slots(db, 8)
        assert len(take(db)) == 2

    def test_those_behind_a_group_that_is_full_pass_at_once(self, db: Database) -> None:
        first, second = self.grouped(db, 9), waiting(db, 9, concurrency_group="db", concurrency_limit=1)
        alone = waiting(db, 9)
        slots(db, 5)
        assert take(db) == [first[0], second[0], *alone[:3]]

    def test_a_queue_that_nobody_serves_keeps_no_place_of_a_group(self, db: Database) -> None:
        [stuck], [runs] = self.grouped(db, 1, queue="git-heavy"), self.grouped(db, 1)
        slots(db, 1)
        assert take(db, "git-heavy") == [stuck]
        assert take(db) == [runs]
        assert db.write(store.claim, runs, "node:1/2", 60.0)
        assert db.write(store.claim, stuck, OWNER, 60.0) is None

    def test_no_more_than_the_limit_begin_however_many_want_to_at_once(self, db: Database) -> None:
        jobs = self.grouped(db, 12, limit=3, queue="default")

        def claim(number: int) -> str | None:
            job = db.write(store.claim, jobs[number], OWNER, 60.0)
            return job.id if job else None

        begun = [job_id for job_id in at_once(12, claim) if job_id]
        assert len(begun) == 3
        assert db.write(store.claim, next(iter(set(jobs) - set(begun))), OWNER, 60.0) is None
