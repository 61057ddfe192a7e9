"""A result lies on the worker's disk before it is in the database, and gets there also when its process has died."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_api.db import Database, now_plus
from ansible_api.execution.verdict import Outcome
from ansible_api.jobs import attempts, repairs, service, store
from ansible_api.jobs.state import Phase, Status
from ansible_api.jobs.store import Fence
from ansible_api.tasks.results import Kept, Result, record, replay
from tests.integration.rows import OWNER, row, running

DONE = Outcome(Status.SUCCESSFUL, 0)
OK = {"ok": 1, "changed": 0, "failed": 0, "unreachable": 0, "skipped": 0, "rescued": 0, "ignored": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def played(db: Database) -> Iterator[Fence]:
    """A job whose play has begun."""
    return running(db, play_started_at=now_plus(), phase=Phase.PLAYING, timings={"source": 0.5})


def replayed(folder: Path, db: Database) -> list[Result]:
    ended: list[Result] = []
    replay(folder, db, ended.append)
    return ended


def lose(db: Database, fence: Fence, **options: str) -> None:
    """What upkeep does with a job whose worker is silent."""
    db.write(repairs.expire_lease_of, repairs.DeadAttempt(fence.job_id, owner=OWNER))
    job = db.read(store.get, fence.job_id)
    assert job is not None
    job.spec = {**job.spec, "options": options}
    assert db.write(repairs.end_expired, job, max_attempts=3) is not None


def test_a_result_of_a_process_that_died_is_written_once(db: Database, folder: Path, played: Fence) -> None:
    result = Result(played, DONE, {"current_task": "Copy", "timings": {"playing": 2.0}}, {"web1": OK})
    Kept(folder, result).leave()
    assert [each.outcome.status for each in replayed(folder, db)] == [Status.SUCCESSFUL]
    ended = row(db, played.job_id)
    assert (ended["status"], ended["return_code"], ended["current_task"]) == ("successful", 0, "Copy")
    assert [host["ok"] for host in ended["hosts"]] == [1]
    assert replayed(folder, db) == []
    assert list(folder.iterdir()) == []


def test_a_result_is_left_to_the_living_process_that_holds_it(db: Database, folder: Path, played: Fence) -> None:
    kept = Kept(folder, Result(played, DONE))
    assert replayed(folder, db) == []
    assert row(db, played.job_id)["status"] == "running"
    kept.drop()
    assert list(folder.iterdir()) == []


def test_a_result_of_a_killed_process_is_nobodys(db: Database, folder: Path, played: Fence) -> None:
    text = Result(played, DONE).to_json()
    code = (
        "import os, sys; from pathlib import Path; from ansible_api.tasks.results import Kept, Result\n"
        "Kept(Path(sys.argv[1]), Result.from_json(sys.argv[2])); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(folder), text], check=False)
    assert killed.returncode == -9
    assert len(replayed(folder, db)) == 1
    assert row(db, played.job_id)["status"] == "successful"


def test_a_result_of_which_the_database_refuses_a_number_ends_its_job_and_holds_no_other(
    db: Database, folder: Path, played: Fence
) -> None:
    other = running(db, play_started_at=now_plus())
    Kept(folder, Result(played, DONE, {"events": 3}, {"web1": {**OK, "ok": 10**30}})).leave()
    Kept(folder, Result(other, DONE)).leave()
    (folder / "job-0.1.json").write_text("{}")
    assert len(replayed(folder, db)) == 2
    for fence in (played, other):
        assert row(db, fence.job_id)["status"] == "successful"
    assert row(db, played.job_id)["events"] == 3
    assert [path.name for path in folder.iterdir()] == ["job-0.1.unreadable"]


def test_a_result_that_comes_after_lost_is_kept_beside_the_job(db: Database, folder: Path, played: Fence) -> None:
    lose(db, played)
    failed = Outcome(Status.FAILED, 2, "play_failed", "failed: web1")
    Kept(folder, Result(played, failed)).leave()
    assert replayed(folder, db) == []
    job = db.read(service.view, "red", played.job_id)
    assert (job.status, job.return_code) == (Status.LOST, None)
    late = job.attempts[0].late_outcome
    assert late is not None
    assert late.error is not None
    assert (late.status, late.return_code, late.error.code) == (Status.FAILED, 2, "play_failed")


def test_the_late_result_of_an_attempt_that_was_run_again_changes_nothing(db: Database, played: Fence) -> None:
    lose(db, played, on_worker_loss="rerun")
    again = db.write(store.claim, played.job_id, "node:9/9", 60.0)
    assert again is not None
    assert not record(db, Result(played, DONE))
    job = db.read(service.view, "red", played.job_id)
    assert (job.status, job.attempt) == (Status.RUNNING, 2)
    assert [bool(each.late_outcome) for each in job.attempts] == [True, False]


def test_what_is_heard_twice_or_of_an_end_that_is_known_is_not_late(db: Database, played: Fence) -> None:
    assert record(db, Result(played, DONE))
    assert not record(db, Result(played, Outcome(Status.FAILED, 2)))
    (attempt,) = db.read(attempts.of_job, played.job_id)
    assert (attempt.outcome, attempt.late_outcome) == ("successful", None)


def test_a_result_waits_on_disk_while_the_database_is_away(folder: Path, tmp_path: Path) -> None:
    gone = Database(f"sqlite:///{tmp_path}/absent/db.sqlite")
    Kept(folder, Result(Fence("job-1", 1, OWNER), DONE)).leave()
    with pytest.raises(Exception, match="database is away"):
        replayed(folder, gone)
    assert len(list(folder.glob("*.json"))) == 1
    gone.close()


def test_a_result_that_cannot_be_read_is_put_aside(db: Database, folder: Path) -> None:
    folder.mkdir()
    (folder / "job-1.1.json").write_text('{"fence": ')
    assert replayed(folder, db) == []
    assert [path.name for path in folder.iterdir()] == ["job-1.1.unreadable"]


def test_what_a_process_was_writing_when_it_died_is_removed_after_a_day(db: Database, folder: Path) -> None:
    folder.mkdir()
    old, new = folder / "job-1.1.unfinished", folder / "job-2.1.unfinished"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    assert replayed(folder, db) == []
    assert list(folder.iterdir()) == [new]


def test_a_result_is_private_and_whole(folder: Path, played: Fence) -> None:
    kept = Kept(folder, Result(played, DONE))
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert Result.from_json(path.read_text()).fence == played
    assert json.loads(path.read_text())["outcome"]["return_code"] == 0
    kept.drop()


def test_a_full_disk_is_told_and_leaves_nothing_behind(folder: Path, played: Fence) -> None:
    folder.mkdir()
    (folder / f"{played.job_id}.1.unfinished").symlink_to("/dev/full")
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="No space left"):
        Kept(folder, Result(played, DONE))
    assert list(folder.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files


def test_each_attempt_tells_who_had_it_how_far_it_came_and_why_it_ended(db: Database) -> None:
    first = running(db, phase=Phase.SOURCE, timings={"queued": 0.1})
    db.write(store.hand_back, first, store.Return("git_unreachable", "the git server is away", 0))
    second = db.write(store.claim, first.job_id, "node:3/4", 60.0)
    assert second is not None
    fence = Fence(second.id, second.attempt, "node:3/4")
    db.write(store.write_running, fence, play_started_at=now_plus(), phase=Phase.PLAYING, timings={"source": 1.5})
    db.write(store.finish, fence, Status.FAILED, error_code="play_failed", error_message="failed: web1")
    job = db.read(service.view, "red", first.job_id)
    assert (job.status, job.phase) == (Status.FAILED, Phase.FINISHING)
    told = [
        (each.attempt, each.worker, each.phase, each.outcome, each.error and each.error.code) for each in job.attempts
    ]
    assert told == [
        (1, OWNER, Phase.SOURCE, Status.QUEUED, "git_unreachable"),
        (2, "node:3/4", Phase.PLAYING, Status.FAILED, "play_failed"),
    ]
    assert job.attempts[1].timings == {"source": 1.5}
    assert job.attempts[1].play_started_at is not None
    assert all(each.ended_at and each.ended_at >= each.started_at for each in job.attempts)


def test_a_lost_attempt_says_in_which_phase_its_worker_vanished(db: Database, played: Fence) -> None:
    lose(db, played)
    (attempt,) = db.read(service.view, "red", played.job_id).attempts
    assert attempt.error is not None
    assert (attempt.phase, attempt.outcome, attempt.error.code) == (Phase.PLAYING, Status.LOST, "worker_lost")


def test_shutdowns_do_not_use_up_the_attempts_of_a_job(db: Database) -> None:
    fence = running(db)
    for number in range(2, 7):
        shutdown = store.Return("worker_shutdown", "the worker shut down", failed=False)
        assert db.write(store.hand_back, fence, shutdown) is Status.QUEUED
        job = db.write(store.claim, fence.job_id, OWNER, 60.0)
        assert job is not None
        assert (job.attempt, job.failures) == (number, 0)
        fence = Fence(job.id, job.attempt, OWNER)
    lose(db, fence)
    assert row(db, fence.job_id)["status"] == "queued"


def test_a_dead_attempt_is_known_by_its_number_too(db: Database, played: Fence) -> None:
    assert db.write(repairs.expire_lease_of, repairs.DeadAttempt(played.job_id, attempt=7)) is None
    assert db.write(repairs.expire_lease_of, repairs.DeadAttempt(played.job_id, attempt=1)) is not None
    lease = row(db, played.job_id)["lease_until"]
    assert db.read(lambda session: session.scalar(now_plus().select())) > lease
