"""Jobs in a migrated database of each kind."""

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_api.db import Database, new_id
from ansible_api.jobs import store
from ansible_api.jobs.model import Job
from ansible_api.jobs.store import Fence
from ansible_api.schema import upgrade

SPEC: dict[str, Any] = {
    "source": {"type": "playbook", "repo": "https://git.example.com/playbooks.git", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1"]},
    "options": {},
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url)
    database = Database(database_url)
    yield database
    database.close()


def queued(database: Database, **values: Any) -> Job:
    """A new job."""
    own = {"id": new_id("job"), "team": "red", "key_id": "key", "spec": SPEC, "queue": "default", "priority": 5}
    more = {"route_reason": "", "trace_parent": None, "republish_after": 5.0}
    return database.write(store.insert_job, **own | more | values)


def running(database: Database, **values: Any) -> Fence:
    """A new job that a worker has claimed."""
    job = database.write(store.claim, queued(database, **values).id, "a worker", 60.0)
    assert job is not None
    return Fence(job.id, job.attempt, "a worker")
