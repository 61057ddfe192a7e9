"""Retention beside what workers do: late uploads, spools, and which workers it runs in."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from ansible_api.celery import create_app
from ansible_api.db import Database, now_plus
from ansible_api.errors import Expired
from ansible_api.jobs import closing, store
from ansible_api.jobs.model import JobObject
from ansible_api.jobs.state import LogStatus
from ansible_api.settings import Settings
from ansible_api.tasks import retention as tasks
from ansible_api.tasks.rescue import rescue
from ansible_api.tasks.retention import RetentionStep
from ansible_api.tasks.upload import outcome
from tests.integration.aged import closed, kept, rounds, there
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import row
from tests.integration.spools import spool
from tests.waiting import wait_for

# A log that has gone stays away


def test_late_uploads_and_spools_bring_no_expired_log_back(db: Database, settings: Settings) -> None:
    job_id = closed(db, settings, 31, status="partial")
    path = spool(settings.state_dir, store.Fence(job_id, 1, "nobody"), 5)
    rounds(db, settings)
    told = [outcome(settings, db, job_id, 1, product) for product in ("log", "events")]
    assert {each["status"] for each in told} == {"failed"}
    product = JobObject(job_id=job_id, attempt=1, kind="log", key="k", size=1, sha256="x", created_at=now_plus())
    assert not db.write(closing.close, job_id, 1, log_status=LogStatus.STORED, events=1, products=[product])
    assert not db.write(closing.rescued, job_id, 1, events=5, stored=100)
    rescue(db, settings)
    assert (row(db, job_id)["log_status"], kept(settings), path.exists()) == ("expired", set(), False)
    with pytest.raises(Expired):
        db.read(store.with_log, "red", job_id)


# In a worker


@pytest.fixture
def step(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RetentionStep]:
    """Retention as a worker of some queues starts it, without its pauses."""
    given = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "MASTER_KEY": MASTER_KEY,
        "OBJECTS_DIR": str(settings.objects_dir),
        "STATE_DIR": str(settings.state_dir),
    }
    for name, value in given.items():
        monkeypatch.setenv(f"ANSIBLE_API_{name}", value)
    monkeypatch.setattr(tasks, "PAUSE", 0.05)

    def start(*queues: str) -> RetentionStep:
        app = create_app(settings)
        app.amqp.queues.select(queues)
        parent = SimpleNamespace(app=app)
        made = RetentionStep(parent)
        made.start(parent)
        return made

    return start


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "retention"]


def test_a_worker_of_delivery_removes_what_has_had_its_time(
    db: Database, settings: Settings, step: Callable[..., RetentionStep]
) -> None:
    job_id = closed(db, settings, 91)
    working = step("default", "delivery")
    wait_for(lambda: job_id not in there(db), message="the job is still there")
    working.stop(None)
    wait_for(lambda: not threads(), message="it does not stop")


def test_other_workers_have_nothing_to_do_with_it(step: Callable[..., RetentionStep]) -> None:
    step("default", "git-heavy")
    assert threads() == []
