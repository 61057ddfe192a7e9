"""The end of an attempt is written, whatever the database does meanwhile."""

import errno
import os
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from ansible_api.db import Database
from ansible_api.events.types import Event
from ansible_api.execution.verdict import Outcome
from ansible_api.jobs import store
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Status
from ansible_api.settings import Settings
from ansible_api.tasks import results
from ansible_api.tasks.run import Attempt
from ansible_api.tasks.worker import create_worker
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import new_job, row
from tests.servers.mariadb import MariaDBServer


def test_the_recap_outlives_a_database_that_is_away_at_the_end(
    migrated_mariadb: str, mariadb_server: MariaDBServer, tmp_path: Path
) -> None:
    settings = Settings(
        database_url=SecretStr(migrated_mariadb),
        redis_url=SecretStr("redis://127.0.0.1:1"),
        master_key=SecretStr(MASTER_KEY),
        objects_dir=tmp_path,
    )
    worker = create_worker(settings, "node")
    job = worker.db.write(store.claim, new_job(worker.db), worker.owner, 60.0)
    assert job is not None
    attempt = Attempt(worker, job)
    attempt._progress.add(Event(seq=1, time="2026-01-15T10:00:00Z", type="runner_on_ok", host="web1"))

    mariadb_server.process.kill()
    ending = threading.Thread(target=attempt.record, args=[Outcome(Status.SUCCESSFUL, 0)])
    ending.start()
    mariadb_server.process.revive()
    ending.join(60)
    worker.db.close()

    database = Database(migrated_mariadb)
    ended = row(database, job.id)
    database.close()
    assert ended["status"] == "successful"
    assert [(host["host"], host["ok"]) for host in ended["hosts"]] == [("web1", 1)]


def test_a_job_that_finds_the_disk_full_before_its_play_waits_again(
    migrated_mariadb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        database_url=SecretStr(migrated_mariadb),
        redis_url=SecretStr("redis://127.0.0.1:1"),
        master_key=SecretStr(MASTER_KEY),
        objects_dir=tmp_path,
        state_dir=tmp_path,
        max_attempts=2,
    )

    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "work")

    monkeypatch.setattr("ansible_api.tasks.run.execute", no_room)
    worker = create_worker(settings, "node")
    job_id = new_job(worker.db)
    ends = []
    for _ in range(2):
        job = worker.db.write(store.claim, job_id, worker.owner, 60.0)
        assert job is not None
        attempt = Attempt(worker, job)
        attempt.record(attempt.run())
        ends.append(row(worker.db, job_id))
        worker.db.write(lambda session: session.execute(update(Job).values(next_attempt_at=None)))
    worker.db.close()
    assert [(end["status"], end["error_code"]) for end in ends] == [("queued", None), ("error", "worker_disk_full")]


def test_a_result_that_the_database_refuses_is_left_to_upkeep_which_puts_it_aside(
    db: Database, settings: Settings
) -> None:
    worker = create_worker(settings, "node")
    job = worker.db.write(store.claim, new_job(worker.db), worker.owner, 60.0)
    assert job is not None
    attempt = Attempt(worker, job)
    refused = Outcome(Status.FAILED, 10**30, "play_failed", "failed: web1")
    attempt._keep(refused)
    with pytest.raises(Exception, match=r"(?i)out of range|too large"):
        attempt.record(refused)
    folder = settings.state_dir / results.FOLDER
    assert results.lies_in(folder, job.id, 1)
    results.replay(folder, db, lambda _: None)
    assert not results.lies_in(folder, job.id, 1)  # its lease may end
    assert [path.name for path in folder.iterdir()] == [f"{job.id}.1.unreadable"]
    worker.db.close()
