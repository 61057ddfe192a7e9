"""A job that was asked to stop ends, whatever its worker does at that moment."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import pytest
from sqlalchemy.orm import Session

from ansible_api.api.jobs import _canceled
from ansible_api.db import Database
from ansible_api.jobs import repairs, service, store
from ansible_api.jobs.store import Standing
from tests.integration.rows import OWNER, at_once, new_job, running, status


def test_a_job_that_is_handed_back_after_a_wish_to_cancel_is_canceled(db: Database) -> None:
    fence = running(db)
    assert db.write(store.request_cancel, "red", fence.job_id)

    assert db.write(store.hand_back, fence, store.Return("away", "the git server is away", 5.0)) == "canceled"

    job = db.read(store.get, fence.job_id)
    assert job is not None
    assert (job.status, job.phase, job.lease_until, job.next_attempt_at) == ("canceled", "finishing", None, None)


def test_a_job_whose_worker_vanished_is_canceled_although_upkeep_looked_before_the_wish(db: Database) -> None:
    fence = running(db)
    db.write(repairs.expire_lease_of, repairs.DeadAttempt(fence.job_id, owner=OWNER))
    (seen,) = db.read(repairs.expired)
    assert db.write(store.request_cancel, "red", fence.job_id)

    assert db.write(repairs.end_expired, seen, max_attempts=3) == "canceled"


def test_a_job_that_is_handed_back_waits_again(db: Database) -> None:
    fence = running(db)

    assert db.write(store.hand_back, fence, store.Return("away", "the worker shut down", 0)) == "queued"

    assert db.write(store.hand_back, fence, store.Return("away", "once more", 0)) is None
    assert db.write(store.claim, fence.job_id, "another worker", 60.0) is not None


def test_a_job_that_is_handed_back_in_the_middle_of_a_cancel_is_canceled(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = running(db)
    cancel_queued = store.cancel_queued

    def and_then_it_is_handed_back(session: Session, team: str, job_id: str) -> bool:
        moved = cancel_queued(session, team, job_id)
        monkeypatch.undo()
        away = store.Return("away", "the worker shut down", 0)
        wait([pool.submit(db.write, store.hand_back, fence, away)], timeout=1)  # in SQLite it waits for the cancel
        return moved

    monkeypatch.setattr(store, "cancel_queued", and_then_it_is_handed_back)
    with ThreadPoolExecutor(1) as pool:
        db.write(service.cancel, "red", fence.job_id)

    assert status(db, fence.job_id) == "canceled"


def test_of_two_who_cancel_a_waiting_job_at_once_one_has_ended_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, both_looked, standing = new_job(db), threading.Barrier(2), store.standing

    def look(session: Session, team: str, job_id: str) -> Standing:
        seen = standing(session, team, job_id)
        with suppress(threading.BrokenBarrierError):
            both_looked.wait(1)
        return seen

    monkeypatch.setattr(store, "standing", look)
    answers = at_once(2, lambda _: db.write(_canceled, "red", job_id, ""))
    assert [view.status for view, _ in answers] == ["canceled", "canceled"]
    assert sorted(ended for _, ended in answers) == [False, True]
