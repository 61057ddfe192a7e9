"""The migrations lead from nothing to the models, one DDL step at a time, and back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, LargeBinary, inspect
from sqlalchemy.types import _Binary

from ansible_api.db import Database
from ansible_api.models import metadata
from ansible_api.schema import check_current, upgrade

MIGRATIONS = Path(__file__).parents[2] / "migrations"
REVISIONS = sorted((MIGRATIONS / "versions").glob("*.py"))
SCRIPTS = ScriptDirectory(str(MIGRATIONS))


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    db = Database(database_url)
    with db.engine.connect() as open_connection:
        yield open_connection
    db.close()


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


OLD_JOB = """
INSERT INTO jobs (id, team, key_id, spec, status, phase, queue, priority, route_reason, attempt, republish_count,
                  created_at, queued_at, timings, log_status)
VALUES ('job-1', 'red', 'k', '{"source": {"repo": "https://git.example.com/A.git", "path": "Site.yml"}}', 'failed',
        'queued', 'default', 5, 'test', 1, 0, '2026-01-15 10:00:00', '2026-01-15 10:00:00', '{}', 'stored')
"""
OLD_OBJECT = """
INSERT INTO job_objects (job_id, attempt, kind, `key`, size, sha256, created_at, expires_at)
VALUES ('job-1', 1, 'log', 'x', 1, 'x', '2026-01-15 10:00:00', '2027-01-15 10:00:00')
"""


def test_jobs_that_are_there_are_found_by_their_request_and_keep_their_logs_for_as_long(connection: Connection) -> None:
    command.upgrade(config(connection), "0055")
    for statement in (OLD_JOB, OLD_OBJECT):
        connection.exec_driver_sql(statement)
    connection.commit()
    command.upgrade(config(connection), "head")
    [row] = connection.exec_driver_sql("SELECT repo, search_text, log_expires_at FROM jobs").all()
    assert row[0] == "https://git.example.com/A.git"
    assert {"https://git.example.com/a.git", "site.yml"} <= {*re.split(r'[",\s\[\]]+', row[1])}
    assert str(row[2]).startswith("2027-01-15")


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
