"""A process that stops in the middle of a transaction does not hold its rows for ever."""

import threading
import time

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from ansible_api import db as module
from ansible_api.db import AsyncDatabase, Database
from ansible_api.errors import Unavailable
from tests.servers.mariadb import MariaDBServer

CHANGE = text("UPDATE kept SET number = number + 1")


@pytest.fixture
def url(mariadb_server: MariaDBServer, mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    name = mariadb_url.rsplit("/", 1)[1]
    mariadb_server.execute(f"CREATE TABLE {name}.kept (number INT)")
    mariadb_server.execute(f"INSERT INTO {name}.kept VALUES (0)")
    monkeypatch.setattr(module, "IDLE_TRANSACTION", 1)
    return mariadb_url


def _change_and_tell(session: Session, *_: object) -> int:
    session.execute(CHANGE)
    return session.scalar(text("SELECT number FROM kept")) or 0


def test_a_worker_that_stops_within_a_transaction_lets_go_of_its_rows(url: str) -> None:
    stopped, other = Database(url), Database(url)
    held, done = threading.Event(), threading.Event()

    def stop(session: Session) -> None:
        session.execute(CHANGE)
        held.set()
        done.wait(20)

    def run() -> None:
        with pytest.raises(Unavailable):
            stopped.write(stop)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        held.wait(5)
        began = time.monotonic()
        assert other.write(_change_and_tell) == 1
        assert time.monotonic() - began < 10
    finally:
        done.set()
        thread.join()
        stopped.close()
        other.close()


@pytest.mark.anyio
async def test_an_api_that_stops_within_a_transaction_lets_go_of_its_rows(url: str) -> None:
    stopped, other = AsyncDatabase(url), AsyncDatabase(url)
    try:
        async with AsyncSession(stopped.engine) as session:
            await session.execute(CHANGE)
            with anyio.fail_after(10):
                assert await other.write(_change_and_tell) == 1
            await session.invalidate()
    finally:
        await stopped.close()
        await other.close()
