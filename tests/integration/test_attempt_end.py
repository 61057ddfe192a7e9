"""The end of an attempt is written, whatever the database does meanwhile."""

import threading
from pathlib import Path

from pydantic import SecretStr

from ansible_api.db import Database
from ansible_api.events.types import Event
from ansible_api.execution.verdict import Outcome
from ansible_api.jobs import store
from ansible_api.jobs.state import Status
from ansible_api.settings import Settings
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
