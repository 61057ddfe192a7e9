"""Upkeep ends no lease after a time in which the database may have hung, and forks do not wait for it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from ansible_api import celery
from ansible_api.db import Database, now_plus
from ansible_api.dispatch import CeleryQueue
from ansible_api.errors import Unavailable
from ansible_api.jobs.state import Status
from ansible_api.objects import directory
from ansible_api.settings import Settings
from ansible_api.tasks import watched
from ansible_api.tasks.drain import Drain
from ansible_api.tasks.upkeep import Upkeep, UpkeepStep
from ansible_api.tasks.watched import WatchedDatabase
from tests.integration.rows import past, running, status
from tests.integration.spools import spool
from tests.servers.mariadb import MariaDBServer
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

LEASE = 2.0
on_mariadb = pytest.mark.parametrize("empty_url", ["mariadb"], indirect=True)  # a file never hangs


@pytest.fixture
def upkeep(db: Database, settings: Settings, redis_under_test: RedisServer) -> Iterator[Upkeep]:
    changed = {"lease_preparing": LEASE, "lease_playing": LEASE, "redis_url": SecretStr(redis_under_test.url)}
    tuned = settings.model_copy(update=changed)
    app = celery.create_sender(tuned)
    yield Upkeep(db, CeleryQueue(app), tuned)
    celery.dispose(app)


@pytest.fixture
def frozen(mariadb_server: MariaDBServer) -> Iterator[Callable[[float], None]]:
    """Makes the database hang for some seconds, from now on."""
    timers: list[threading.Timer] = []

    def freeze(seconds: float) -> None:
        mariadb_server.process.pause()
        timers.append(threading.Timer(seconds, mariadb_server.process.resume))
        timers[-1].start()

    yield freeze
    for timer in timers:
        timer.join()


def ticks_until_leases_may_end(upkeep: Upkeep) -> None:
    def trusted() -> bool:
        upkeep.tick()
        return upkeep._trusts_leases()

    wait_for(trusted, interval=0.2)


@on_mariadb
def test_a_lease_that_ran_out_while_the_database_hung_is_not_ended(
    db: Database, upkeep: Upkeep, frozen: Callable[[float], None]
) -> None:
    ticks_until_leases_may_end(upkeep)
    fence = running(db, lease_until=now_plus(0.5))
    frozen(1.5)  # shorter than any time-out
    upkeep.tick()
    assert status(db, fence.job_id) is Status.RUNNING  # its owner could not renew it, and does that now
    wait_for(lambda: upkeep.tick() or status(db, fence.job_id) is not Status.RUNNING, interval=0.2)


def test_a_lease_that_ran_out_while_upkeep_was_stopped_is_not_ended(
    db: Database, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "BETWEEN", 0.0)
    ticks_until_leases_may_end(upkeep)
    fence = running(db, lease_until=past())
    stopped = time.monotonic()
    wait_for(lambda: time.monotonic() - stopped > LEASE / 2 + 0.1)
    upkeep.tick()
    assert status(db, fence.job_id) is Status.RUNNING
    wait_for(lambda: upkeep.tick() or status(db, fence.job_id) is not Status.RUNNING, interval=0.2)


def test_repairs_that_wait_for_something_else_do_not_keep_leases_from_their_end(db: Database) -> None:
    watching = WatchedDatabase(db, lease=4)
    watching.read(lambda _: None)
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 2.1)
    watching.read(lambda _: None)
    assert watching.healthy_for > 2


@on_mariadb
def test_a_database_that_hangs_is_given_up_after_the_silence_that_it_is_allowed(
    empty_url: str, frozen: Callable[[float], None]
) -> None:
    with closing(Database(empty_url, silence=1)) as impatient:
        assert impatient.read(lambda session: session.scalar(select(1))) == 1
        frozen(9)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            impatient.read(lambda session: session.scalar(select(1)))
        assert time.monotonic() - began < 7


@pytest.mark.timeout(60)
def test_a_fork_does_not_wait_for_an_object_store_that_hangs(
    db: Database, settings: Settings, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, over = threading.Event(), threading.Event()

    def hang(_: Any) -> None:
        hangs.set()
        over.wait(30)

    monkeypatch.setattr(directory.unfinished, "sync_directory", hang)
    spool(settings.state_dir, running(db), 5)
    step = UpkeepStep(SimpleNamespace())
    rounds = threading.Thread(target=step._run, args=(upkeep, 60.0, Drain(SimpleNamespace()), None))
    rounds.start()
    assert hangs.wait(20)
    waited = threading.Timer(5, over.set)
    waited.start()
    if not (child := os.fork()):
        os._exit(0)
    forked_while_it_hung = not over.is_set()
    os.waitpid(child, 0)
    over.set()
    waited.cancel()
    step._stop.set()
    rounds.join()
    assert forked_while_it_hung
