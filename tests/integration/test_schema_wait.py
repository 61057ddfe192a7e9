"""`ansible-api db wait`: it ends when the schema is current, and says what is wrong when it never is."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from ansible_api import schema
from ansible_api.cli import app
from ansible_api.cli.exits import Exit
from ansible_api.db import Database
from ansible_api.errors import StartupError
from tests.integration.api.conftest import MASTER_KEY
from tests.migrated import migrate
from tests.servers.processes import free_port
from tests.waiting import wait_for


def test_a_current_schema_is_not_waited_for(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(database_url)
    monkeypatch.setattr(schema, "PAUSE", 60)
    begin = time.monotonic()
    schema.wait_until_current(database_url, 90)
    assert time.monotonic() - begin < 30


def test_it_ends_when_somebody_has_migrated(database_url: str) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(schema.wait_until_current, database_url, 120)
        assert not waiting.done()
        schema.upgrade(database_url)
        wait_for(waiting.done, 60)
        assert waiting.exception() is None


def test_an_old_schema_that_stays_is_told_when_the_limit_comes(sqlite_url: str) -> None:
    migrate(sqlite_url)
    database = Database(sqlite_url)
    database.write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '0007'")))
    database.close()
    with pytest.raises(StartupError, match=r"waited 0.1 s in vain: .*0007.*ansible-api db upgrade"):
        schema.wait_until_current(sqlite_url, 0.1)


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    url = f"mysql://user:geheim@127.0.0.1:{free_port()}/name"
    with pytest.raises(StartupError, match="the database is away") as told:
        schema.wait_until_current(url, 0.1)
    assert "geheim" not in str(told.value)


def test_the_command_ends_with_the_documented_code(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _environment(sqlite_url, tmp_path).items():
        monkeypatch.setenv(name, value)
    refused = CliRunner().invoke(app, ["db", "wait", "--timeout", "0"])
    assert refused.exit_code == Exit.REFUSED
    assert "ansible-api db upgrade" in refused.output
    migrate(sqlite_url)
    assert CliRunner().invoke(app, ["db", "wait", "--timeout", "0"]).exit_code == Exit.SUCCESSFUL


def test_a_process_waits_through_the_migration_of_another(sqlite_url: str, tmp_path: Path) -> None:
    environment = os.environ | _environment(sqlite_url, tmp_path)
    command = [sys.executable, "-m", "ansible_api.cli", "db", "wait", "--timeout", "100"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        schema.upgrade(sqlite_url)
        assert process.wait(100) == 0


def _environment(database_url: str, directory: Path) -> dict[str, str]:
    return {
        "ANSIBLE_API_DATABASE_URL": database_url,
        "ANSIBLE_API_REDIS_URL": "redis://127.0.0.1:1",
        "ANSIBLE_API_MASTER_KEY": MASTER_KEY,
        "ANSIBLE_API_OBJECTS_DIR": str(directory),
    }
