"""`ansible-api worker drain` while the database comes and goes."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ansible_api.db import Database
from ansible_api.jobs import store, workers
from ansible_api.jobs.model import WorkerNode
from ansible_api.jobs.state import Status
from ansible_api.jobs.store import Fence
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import new_job, past
from tests.migrated import migrate
from tests.servers.mariadb import MariaDBServer
from tests.waiting import wait_for

NODE = f"{socket.gethostname()}:1:1"
COMMAND = [sys.executable, "-m", "ansible_api.cli", "worker", "drain"]


@pytest.fixture
def holding(mariadb_url: str) -> Fence:
    """A job that the worker of this host runs; it was silent for a minute, as after an outage."""
    migrate(mariadb_url)
    with closing(Database(mariadb_url)) as db:
        db.write(workers.register, NODE, ["default"], 1)
        job = db.write(store.claim, new_job(db), f"{NODE}/2", 60.0)
        assert job is not None
        db.write(lambda session: setattr(session.get_one(WorkerNode, NODE), "seen_at", past(60)))
        return Fence(job.id, job.attempt, f"{NODE}/2")


def is_draining(url: str) -> bool:
    with closing(Database(url)) as db:
        return bool(db.read(lambda session: session.get_one(WorkerNode, NODE).drain_at))


@pytest.mark.parametrize("away_at_first", [True, False], ids=["outage before", "outage meanwhile"])
def test_a_drain_waits_for_its_jobs_through_an_outage_of_the_database(
    mariadb_server: MariaDBServer, mariadb_url: str, holding: Fence, tmp_path: Path, away_at_first: bool
) -> None:
    environment = os.environ | {
        "ANSIBLE_API_DATABASE_URL": mariadb_url,
        "ANSIBLE_API_REDIS_URL": "redis://127.0.0.1:1",
        "ANSIBLE_API_MASTER_KEY": MASTER_KEY,
        "ANSIBLE_API_OBJECTS_DIR": str(tmp_path),
    }
    if away_at_first:
        mariadb_server.process.stop()
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True) as drain:
        assert drain.stderr is not None
        if not away_at_first:
            wait_for(lambda: is_draining(mariadb_url), 60)
            mariadb_server.process.stop()
        assert "the database is away" in drain.stderr.readline()
        mariadb_server.process.start()
        wait_for(lambda: is_draining(mariadb_url), 60)
        assert drain.poll() is None
        with closing(Database(mariadb_url)) as db:
            assert db.write(store.finish, holding, Status.SUCCESSFUL)
        assert drain.wait(60) == 0
