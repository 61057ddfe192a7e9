"""The heartbeat of a running job: its lease, its progress, and the wishes that it hears of."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from ansible_api.db import Database
from ansible_api.jobs import repairs, store
from ansible_api.jobs.state import Phase, StopReason
from ansible_api.jobs.store import Fence
from ansible_api.settings import Settings
from ansible_api.tasks.heartbeat import Heartbeat, Progress
from ansible_api.tasks.worker import Shutdown
from tests.integration.rows import OWNER, row, running


@pytest.fixture
def fence(db: Database) -> Iterator[Fence]:
    return running(db, phase=Phase.SOURCE, timings={})


def heartbeat(db: Database, fence: Fence, settings: Settings, progress: Progress | None = None) -> Heartbeat:
    return Heartbeat(db, fence, progress or Progress(), settings, Shutdown())


def test_a_play_begins_with_its_own_lease_and_with_all_that_was_known_before(
    db: Database, fence: Fence, settings: Settings
) -> None:
    progress = Progress()
    progress.set(commit="c" * 40)
    heartbeat(db, fence, settings, progress).begin_play(phase=Phase.PLAYING, timings={"source": 1.0})
    job = row(db, fence.job_id)
    assert (job["phase"], job["commit"], job["timings"]) == ("playing", "c" * 40, {"source": 1.0})
    lease = job["lease_until"] - job["play_started_at"]
    assert lease == pytest.approx(timedelta(seconds=settings.lease_playing), abs=timedelta(seconds=1))


def test_a_beat_that_is_under_way_when_the_play_begins_undoes_nothing_of_it(
    db: Database, fence: Fence, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, go_on = threading.Event(), threading.Event()
    write = store.beat

    def slow(*arguments: Any, **values: Any) -> Any:
        under_way.set()
        assert go_on.wait(20)
        return write(*arguments, **values)

    monkeypatch.setattr(store, "beat", slow)
    progress = Progress()
    progress.set(phase=Phase.STARTING, timings={"source": 1.0})
    beating = heartbeat(db, fence, settings, progress)
    beat = threading.Thread(target=beating.beat)
    play = threading.Thread(target=beating.begin_play, kwargs={"phase": Phase.PLAYING, "timings": {"starting": 1.0}})
    beat.start()
    assert under_way.wait(20)
    play.start()
    play.join(1)  # where it does not wait for the beat, it is done by now
    go_on.set()
    for thread in (beat, play):
        thread.join(20)
    job = row(db, fence.job_id)
    assert (job["phase"], job["timings"]) == ("playing", {"starting": 1.0})


def test_a_beat_hears_that_the_job_was_canceled(db: Database, fence: Fence, settings: Settings) -> None:
    beating = heartbeat(db, fence, settings)
    beating.beat()
    assert beating.reason is None
    db.write(store.request_cancel, "red", fence.job_id)
    beating.beat()
    assert beating.reason is StopReason.CANCELED


def test_a_beat_learns_that_the_job_is_somebody_elses(db: Database, fence: Fence, settings: Settings) -> None:
    beating = heartbeat(db, fence, settings)
    job = db.write(repairs.expire_lease_of, repairs.DeadAttempt(fence.job_id, owner=OWNER))
    assert job is not None
    db.write(repairs.end_expired, job, max_attempts=3)
    beating.beat()
    assert beating.reason is StopReason.LEASE_LOST
