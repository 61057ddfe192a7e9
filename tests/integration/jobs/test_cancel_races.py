"""A job that was asked to stop ends, whatever its worker does at that moment."""

from ansible_api.db import Database
from ansible_api.jobs import store
from tests.integration.jobs.conftest import running


def test_a_job_that_is_handed_back_after_a_wish_to_cancel_is_canceled(database: Database) -> None:
    fence = running(database)
    assert database.write(store.request_cancel, "red", fence.job_id)

    assert database.write(store.hand_back, fence, pause=5.0, reason="the git server is away") == "canceled"

    job = database.read(store.get, fence.job_id)
    assert job is not None
    assert (job.status, job.phase, job.lease_until, job.next_attempt_at) == ("canceled", "finishing", None, None)


def test_a_job_whose_worker_vanished_is_canceled_although_upkeep_looked_before_the_wish(database: Database) -> None:
    fence = running(database)
    database.write(store.expire_lease_of, fence.job_id, "a worker")
    (seen,) = database.read(store.expired)
    assert database.write(store.request_cancel, "red", fence.job_id)

    assert database.write(store.end_expired, seen, max_attempts=3) == "canceled"


def test_a_job_that_is_handed_back_waits_again(database: Database) -> None:
    fence = running(database)

    assert database.write(store.hand_back, fence, pause=0, reason="the worker shut down") == "queued"

    assert database.write(store.hand_back, fence, pause=0, reason="once more") is None
    assert database.write(store.claim, fence.job_id, "another worker", 60.0) is not None
