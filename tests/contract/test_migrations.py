"""The migrations lead from nothing to the models, one DDL step at a time, and back."""

import ast
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, LargeBinary, inspect, text
from sqlalchemy.types import _Binary

from ansible_api.db import Database
from ansible_api.models import metadata
from ansible_api.schema import check_current, upgrade
from tests.servers.mariadb import MariaDBServer
from tests.waiting import wait_for

MIGRATIONS = Path(__file__).parents[2] / "migrations"
REVISIONS = sorted((MIGRATIONS / "versions").glob("*.py"))
SCRIPTS = ScriptDirectory(str(MIGRATIONS))


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connected(database_url) as open_connection:
        yield open_connection


@pytest.fixture
def mariadb_connection(mariadb_url: str) -> Iterator[Connection]:
    with connected(mariadb_url) as open_connection:
        yield open_connection


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    with closing(Database(url)) as db, db.engine.connect() as open_connection:
        yield open_connection


def config(connection: Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["connection"] = connection
    return made


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": differs, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


def differs(_context: object, _found: object, _wanted: object, found: Any, wanted: Any) -> bool | None:
    """MariaDB makes of BLOB(n) the smallest kind of BLOB that n bytes fit in; else Alembic decides."""
    return False if isinstance(found, LargeBinary | _Binary) and isinstance(wanted, LargeBinary) else None


def test_the_newest_schema_is_that_of_the_models(database_url: str, connection: Connection) -> None:
    assert upgrade(database_url) == SCRIPTS.get_current_head()
    check_current(connection)
    assert differences(connection) == []


def test_a_missing_column_would_be_noticed(database_url: str, connection: Connection) -> None:
    upgrade(database_url)
    connection.exec_driver_sql("ALTER TABLE job_objects DROP COLUMN sha256")
    assert len(differences(connection)) == 1


def test_every_step_can_be_undone_and_done_again(connection: Connection) -> None:
    command.upgrade(config(connection), "head")
    command.downgrade(config(connection), "base")
    assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    command.upgrade(config(connection), "head")
    assert differences(connection) == []


def test_each_step_leaves_what_the_version_before_it_reads_and_writes(connection: Connection) -> None:
    """During an upgrade workers of both versions run on the new schema."""
    known: dict[str, set[str]] = {}
    for revision in (path.name[:4] for path in REVISIONS):
        command.upgrade(config(connection), revision)
        found = {table: inspect(connection).get_columns(table) for table in inspect(connection).get_table_names()}
        assert set(known) <= set(found), f"{revision} drops a table"
        for table, columns in known.items():
            now = {column["name"]: column for column in found[table]}
            assert columns <= set(now), f"{revision} drops a column of {table}"
            wanted = [name for name in set(now) - columns if not now[name]["nullable"] and now[name]["default"] is None]
            assert not wanted, f"{revision}: who does not know {table}.{wanted} cannot insert"
        known = {table: {column["name"] for column in columns} for table, columns in found.items()}


def test_an_upgrade_goes_on_where_another_one_stopped(database_url: str, connection: Connection) -> None:
    command.upgrade(config(connection), "0007")
    assert upgrade(database_url) == SCRIPTS.get_current_head()
    assert upgrade(database_url) == SCRIPTS.get_current_head()
    assert differences(connection) == []


def test_a_step_that_was_done_and_not_noted_is_done_again(mariadb_connection: Connection) -> None:
    """MariaDB commits it before anything else can be said of it."""
    given = config(mariadb_connection)
    for before, revision in pairwise(["base", *(path.name[:4] for path in REVISIONS)]):
        command.upgrade(given, revision)
        command.stamp(given, before)
        command.upgrade(given, revision)
    assert differences(mariadb_connection) == []


def test_a_step_may_take_longer_than_a_server_may_be_silent(
    mariadb_server: MariaDBServer, mariadb_url: str, mariadb_connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.upgrade(config(mariadb_connection), "0078")
    mariadb_connection.exec_driver_sql("SELECT id FROM jobs")  # the table keeps its form until this transaction ends
    monkeypatch.setattr("ansible_api.db.SILENCE", 1)
    long = (
        "SELECT 1 FROM information_schema.processlist WHERE state LIKE '%%metadata lock' AND time_ms > 2000 AND db = %s"
    )
    with ThreadPoolExecutor(1) as pool:
        upgrading = pool.submit(upgrade, mariadb_url)
        wait_for(lambda: upgrading.done() or mariadb_server.execute(long, mariadb_url.rpartition("/")[2]))
        mariadb_connection.rollback()
        assert upgrading.result(60) == SCRIPTS.get_current_head()
    assert differences(mariadb_connection) == []


OLD_JOB = """
INSERT INTO jobs (id, team, key_id, spec, status, phase, queue, priority, route_reason, attempt, republish_count,
                  created_at, queued_at, timings, log_status)
VALUES (:id, 'red', 'k', '{"source": {"repo": "https://git.example.com/A.git", "path": "Site.yml"}}', 'failed',
        'queued', 'default', 5, 'test', 1, 0, '2026-01-15 10:00:00', '2026-01-15 10:00:00', '{}', 'stored')
"""
OLD_OBJECT = """
INSERT INTO job_objects (job_id, attempt, kind, `key`, size, sha256, created_at, expires_at)
VALUES ('job-0000', 1, 'log', 'x', 1, 'x', '2026-01-15 10:00:00', '2027-01-15 10:00:00')
"""


def insert_old_jobs(connection: Connection, number: int = 2001) -> None:
    """More than two batches of them."""
    connection.execute(text(OLD_JOB), [{"id": f"job-{one:04}"} for one in range(number)])


def test_jobs_that_are_there_are_found_by_their_request_and_keep_their_logs_for_as_long(connection: Connection) -> None:
    command.upgrade(config(connection), "0055")
    insert_old_jobs(connection)
    connection.exec_driver_sql(OLD_OBJECT)
    connection.commit()
    command.upgrade(config(connection), "head")
    [row, *others] = connection.exec_driver_sql("SELECT repo, search_text, log_expires_at FROM jobs ORDER BY id").all()
    assert {(other[0], other[2]) for other in others} == {(row[0], None)}
    assert row[0] == "https://git.example.com/A.git"
    assert {"https://git.example.com/a.git", "site.yml"} <= {*re.split(r'[",\s\[\]]+', row[1])}
    assert str(row[2]).startswith("2027-01-15")


def test_no_row_is_held_until_all_are_filled(mariadb_url: str, mariadb_connection: Connection) -> None:
    command.upgrade(config(mariadb_connection), "0075")
    insert_old_jobs(mariadb_connection)
    mariadb_connection.commit()
    filled = "SELECT COUNT(*) FROM jobs WHERE repo IS NOT NULL"
    with connected(mariadb_url) as worker, ThreadPoolExecutor(1) as pool:
        worker.exec_driver_sql("SELECT id FROM jobs WHERE id = 'job-2000' FOR UPDATE")
        upgrading = pool.submit(command.upgrade, config(mariadb_connection), "0076")
        try:
            wait_for(lambda: worker.exec_driver_sql(filled).scalar() == 2000)
        finally:
            worker.rollback()
        upgrading.result(60)
    assert mariadb_connection.exec_driver_sql(filled).scalar() == 2001


def test_the_history_is_one_line() -> None:
    assert len(SCRIPTS.get_heads()) == len(SCRIPTS.get_bases()) == 1
    history = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]
    assert history == sorted(history) == [path.name[:4] for path in REVISIONS]


@pytest.mark.parametrize("path", REVISIONS, ids=lambda path: path.stem)
def test_a_revision_is_one_step(path: Path) -> None:
    functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert set(functions) == {"upgrade", "downgrade"}
    for function in functions.values():
        assert len(_steps(function)) == 1


def _steps(function: ast.FunctionDef) -> list[ast.Call]:
    """Calls of Alembic's operations that change something; `op.f` only marks a name."""
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "op"
        and node.func.attr not in ("f", "get_bind")
    ]
