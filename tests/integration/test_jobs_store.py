"""The rows of jobs: every write is guarded, whoever comes at the same time."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError

from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database, now_plus
from ansible_api.errors import IdempotencyMismatch, LeaseLost, NotFound
from ansible_api.jobs import closing, listing, repairs, schemas, service, store
from ansible_api.jobs.model import JobObject
from ansible_api.jobs.service import Submission
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import LEGAL_MOVES, TERMINAL, LogStatus, Status
from ansible_api.jobs.store import Fence
from ansible_api.settings import Settings
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import OWNER, SPEC, at_once, new_job, past, put, row, running, status

CIPHER = Cipher.from_setting(SecretStr(MASTER_KEY))
COUNTS = {"web1": dict.fromkeys(("ok", "changed", "failed", "unreachable", "skipped", "rescued", "ignored"), 1)}


def test_of_many_claims_at_once_one_wins(db: Database) -> None:
    job_id = new_job(db)
    claimed = at_once(8, lambda number: db.write(store.claim, job_id, f"node:{number}/1", 60.0))
    [winner] = [job for job in claimed if job is not None]
    assert (winner.status, winner.attempt) == ("running", 1)
    assert row(db, job_id)["lease_owner"] == winner.lease_owner
    assert winner.lease_until is not None
    assert winner.started_at is not None
    assert timedelta(seconds=55) < winner.lease_until - winner.started_at < timedelta(seconds=65)


def test_each_of_many_jobs_is_claimed_once_by_workers_that_race_for_them(db: Database) -> None:
    ids = [new_job(db) for _ in range(12)]

    def take_all(number: int) -> list[str]:
        return [job_id for job_id in ids if db.write(store.claim, job_id, f"node:{number}/1", 60.0) is not None]

    assert sorted(job_id for taken in at_once(4, take_all) for job_id in taken) == sorted(ids)


@pytest.mark.parametrize(
    "columns",
    [
        {"next_attempt_at": now_plus(60)},
        {"cancel_requested_at": now_plus()},
        {"status": Status.RUNNING},
        *({"status": status} for status in sorted(TERMINAL)),
    ],
    ids=lambda columns: "-".join(f"{name}" if name != "status" else value for name, value in columns.items()),
)
def test_a_job_that_does_not_wait_or_is_not_due_is_not_claimed(db: Database, columns: dict[str, Any]) -> None:
    job_id = new_job(db, **columns)
    before = row(db, job_id)
    assert db.write(store.claim, job_id, OWNER, 60.0) is None
    assert row(db, job_id) == before


def test_a_job_is_claimed_when_its_pause_is_over(db: Database) -> None:
    assert db.write(store.claim, new_job(db, next_attempt_at=past()), OWNER, 60.0)


@pytest.mark.parametrize("source", Status)
@pytest.mark.parametrize("target", Status)
def test_a_move_happens_from_its_source_only(db: Database, source: Status, target: Status) -> None:
    if target not in LEGAL_MOVES[source]:
        with pytest.raises(AssertionError, match="illegal move"):
            db.write(store.transition, "job-x", source, target)
        return
    for standing in Status:
        job_id = new_job(db, status=standing)
        before = row(db, job_id)
        moved = db.write(store.transition, job_id, source, target, last_error="moved")
        assert moved is (standing is source)
        after = row(db, job_id)
        if moved:
            assert (after["status"], after["last_error"]) == (target, "moved")
            assert (after["finished_at"] is not None) is target.terminal
        else:
            assert after == before


def _write(session: Any, fence: Fence) -> None:
    store.write_running(session, fence, last_error="late")


def _beat(session: Any, fence: Fence) -> None:
    store.beat(session, fence, 60.0, current_task="late")


def _look(session: Any, fence: Fence) -> None:
    store.beat(session, fence, None)


def _hosts(session: Any, fence: Fence) -> None:
    store.save_hosts(session, fence, COUNTS)


LOST = {
    "another attempt": {"attempt": 2},
    "another owner": {"lease_owner": "node:9/9"},
    "ended": {"status": Status.LOST},
    "waiting again": {"status": Status.QUEUED, "lease_owner": None},
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("write", [_write, _beat, _look, _hosts])
def test_a_write_after_the_lease_was_lost_raises_and_changes_nothing(
    db: Database, write: Callable[[Any, Fence], None], lost: str
) -> None:
    fence = running(db, **LOST[lost])
    before = row(db, fence.job_id)
    with pytest.raises(LeaseLost):
        db.write(write, fence)
    assert row(db, fence.job_id) == before


@pytest.mark.parametrize("lost", LOST)
def test_an_attempt_that_lost_its_lease_neither_ends_nor_returns_the_job(db: Database, lost: str) -> None:
    fence = running(db, **LOST[lost])
    before = row(db, fence.job_id)
    assert not db.write(store.finish, fence, Status.SUCCESSFUL, return_code=0)
    assert db.write(store.hand_back, fence, store.Return("away", "late", 0)) is None
    assert row(db, fence.job_id) == before


def test_a_beat_renews_the_lease_only_when_asked_and_tells_of_cancelling(db: Database) -> None:
    fence = running(db, lease_until=past(60))
    assert db.write(store.beat, fence, None, current_task="x") is None
    assert db.read(repairs.expired) != []
    assert db.write(store.beat, fence, 60.0) is None
    assert db.read(repairs.expired) == []
    db.write(store.request_cancel, "red", fence.job_id)
    assert db.write(store.beat, fence, 60.0) is not None


def test_host_counts_replace_those_before(db: Database) -> None:
    fence = running(db)
    db.write(store.save_hosts, fence, COUNTS)
    db.write(store.save_hosts, fence, {"web1": COUNTS["web1"] | {"ok": 7}, "web2": COUNTS["web1"]})
    assert {host["host"]: host["ok"] for host in row(db, fence.job_id)["hosts"]} == {"web1": 7, "web2": 1}
    assert db.read(store.host_totals, [fence.job_id]) == {fence.job_id: (2, 0, 2)}


def test_a_job_handed_back_waits_for_its_pause(db: Database) -> None:
    fence = running(db)
    assert db.write(store.hand_back, fence, store.Return("away", "git is away", 30)) is Status.QUEUED
    job = row(db, fence.job_id)
    assert (job["status"], job["lease_owner"], job["last_error"]) == ("queued", None, "away: git is away")
    assert job["republish_at"] is None  # it stands in line
    assert job["queued_at"] == job["next_attempt_at"]  # and is kept waiting from then on
    assert db.write(store.claim, fence.job_id, OWNER, 60.0) is None
    put(db, fence.job_id, next_attempt_at=past())
    again = db.write(store.claim, fence.job_id, OWNER, 60.0)
    assert again is not None
    assert again.attempt == 2


def test_a_job_that_is_played_again_does_not_show_the_artifacts_of_the_play_before(db: Database) -> None:
    left = {"data": {}, "files": [{"name": "x", "size": 1, "sha256": "0"}], "left_out": []}
    fence = running(db, play_started_at=now_plus(), artifacts=left)
    again = store.Return("worker_lost", "the worker vanished", played=True)
    assert db.write(store.requeue, fence.job_id, again) is Status.QUEUED
    assert row(db, fence.job_id)["artifacts"] is None


def test_a_job_that_has_begun_to_play_is_never_handed_back(db: Database) -> None:
    fence = running(db, play_started_at=now_plus())
    assert db.write(store.hand_back, fence, store.Return("away", "away", 0)) is None
    assert status(db, fence.job_id) is Status.RUNNING


def test_a_job_that_shall_be_cancelled_is_not_queued_again_but_canceled(db: Database) -> None:
    fence = running(db)
    assert db.write(store.request_cancel, "red", fence.job_id)
    assert db.write(store.hand_back, fence, store.Return("away", "git is away", 0)) is Status.CANCELED
    assert row(db, fence.job_id)["finished_at"] is not None


def test_cancelling_keeps_the_first_time_of_asking_and_needs_the_team(db: Database) -> None:
    fence = running(db)
    assert not db.write(store.request_cancel, "blue", fence.job_id)
    assert db.write(store.request_cancel, "red", fence.job_id)
    first = row(db, fence.job_id)["cancel_requested_at"]
    assert db.write(store.request_cancel, "red", fence.job_id)
    assert row(db, fence.job_id)["cancel_requested_at"] == first
    waiting = new_job(db)
    assert not db.write(store.cancel_queued, "blue", waiting)
    assert db.write(store.cancel_queued, "red", waiting)
    assert status(db, waiting) is Status.CANCELED


def test_many_who_cancel_and_claim_at_once_agree(db: Database) -> None:
    for _ in range(5):
        job_id = new_job(db)

        def act(number: int, job_id: str = job_id) -> bool:
            if number % 2:
                return bool(db.write(store.cancel_queued, "red", job_id))
            return db.write(store.claim, job_id, f"node:{number}/1", 60.0) is not None

        won = at_once(6, act)
        assert sum(won) == 1
        assert status(db, job_id) is (Status.CANCELED if won.index(True) % 2 else Status.RUNNING)


def _submit(db: Database, settings: Settings, key: str, digest: str = "d") -> tuple[str, bool]:
    spec = JobSpec.model_validate({**SPEC, "credentials": {}, "extra_vars": {}})
    submission = Submission("red", "k", None, spec, body_digests=(digest,), idempotency_key=key)
    try:
        made = db.write(service.submit, CIPHER, submission, settings)
    except IntegrityError:  # another one was faster: now its job is there
        made = db.write(service.submit, CIPHER, submission, settings)
    return made.job.id, made.is_new


def test_an_idempotency_key_used_by_many_at_once_makes_one_job(db: Database, settings: Settings) -> None:
    made = at_once(8, lambda _: _submit(db, settings, "same"))
    assert len({job_id for job_id, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1
    assert len(db.read(listing.page, "red", limit=10).jobs) == 1


def test_an_idempotency_key_with_another_body_is_refused(db: Database, settings: Settings) -> None:
    _submit(db, settings, "same")
    with pytest.raises(IdempotencyMismatch):
        _submit(db, settings, "same", digest="other")


def test_a_page_reads_no_plans_and_one_job_has_its_own(db: Database) -> None:
    job_id = new_job(db)

    put(db, job_id, plan={"playbooks": []})
    [listed] = db.read(listing.page, "red", limit=1).jobs
    assert "plan" in inspect(listed).unloaded
    [shown] = db.read(lambda session: service.views(session, listing.page(session, "red", limit=1).jobs, brief=True))
    assert shown.plan is None
    assert db.read(service.view, "red", job_id).plan == {"playbooks": []}


LARGE = {f"name{number}": "ü" * 90 for number in range(5000)}
NUMBERS = {"big": 2**70, "small": 1e-300, "text": '"\\\u0000'}


@pytest.mark.parametrize(
    ("spec", "columns"),
    [
        (SPEC, {}),
        ({**SPEC, "source": {"type": "role", "path": "a", "role_vars": LARGE}}, {}),
        ({**SPEC, "options": {"env": LARGE, "limit": [*LARGE], "labels": NUMBERS}}, {}),
        ({**SPEC, "inventory": {"groups": {"a": ["b", "c"], "d": {"hosts": ["c"]}}, "host_vars": LARGE}}, {}),
        ({**SPEC, "inventory": [SPEC["inventory"], {"type": "inline", "hosts": ["web2"]}]}, {}),
        ({**SPEC, "inventory": {"hosts": [*LARGE]}}, {"inventory": {"matched_count": 3}}),
        ({**SPEC, "inventory": {"hosts": [*LARGE]}}, {"status": Status.CANCELED}),
    ],
)
def test_a_page_tells_of_a_request_what_it_shows_without_reading_what_is_large(
    db: Database, spec: dict[str, Any], columns: dict[str, Any]
) -> None:
    job_id = new_job(db, spec={**spec, "extra_vars": LARGE}, **columns)
    [listed] = db.read(listing.page, "red", limit=1).jobs
    assert len(json.dumps(listed.spec)) < 1000
    whole = db.read(store.get_of_team, "red", job_id)
    assert schemas.job_view(listed, brief=True) == schemas.job_view(whole, brief=True)
    assert row(db, job_id)["spec"]["extra_vars"] == LARGE


def test_pages_hold_every_job_once_although_new_ones_come(db: Database) -> None:
    ids = [new_job(db) for _ in range(11)]
    new_job(db, team="blue")
    seen: list[str] = []
    before = None
    while not seen or before:
        page = db.read(listing.page, "red", limit=4, before=before)
        seen += [job.id for job in page.jobs]
        before = page.more
        new_job(db)
    assert sorted(seen) == sorted(ids)
    assert seen == sorted(seen, reverse=True)


def test_another_teams_job_is_not_there(db: Database) -> None:
    job_id = new_job(db)
    for read in (store.get_of_team, store.standing):
        with pytest.raises(NotFound):
            db.read(read, "blue", job_id)


def test_closing_records_the_products_once(db: Database) -> None:
    fence = running(db)

    def close(attempt: int = 1) -> bool:
        product = JobObject(
            job_id=fence.job_id, attempt=1, kind="log", key="k", size=1, sha256="s", created_at=now_plus()
        )
        stored = {"log_status": LogStatus.STORED, "events": 0, "products": [product]}
        return db.write(closing.close, fence.job_id, attempt, **stored)

    assert not close()  # it runs
    db.write(store.finish, fence, Status.SUCCESSFUL)
    assert not close(attempt=2)
    assert close()
    assert not close()
    assert row(db, fence.job_id)["log_status"] == "stored"
    assert len(db.read(store.objects, fence.job_id)) == 1


def test_a_beat_that_began_before_the_play_does_not_shorten_its_lease(db: Database) -> None:
    fence = running(db)
    db.write(store.write_running, fence, play_started_at=now_plus(), lease_until=now_plus(300))
    before = db.read(store.get, fence.job_id)
    db.write(store.beat, fence, 60.0)
    after = db.read(store.get, fence.job_id)
    assert before is not None
    assert after is not None
    assert after.lease_until == before.lease_until
    db.write(store.beat, fence, 600.0)
    longer = db.read(store.get, fence.job_id)
    assert longer is not None
    assert longer.lease_until > before.lease_until
