"""The schema of all migrations in an empty database: migrated once in a test run, copied after that."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, text

from ansible_api.db import database_url
from ansible_api.schema import upgrade

_ddl: list[str] = []


def migrate(url: str) -> None:
    """As `ansible_api.schema.upgrade`, but quick."""
    if url.startswith("sqlite:"):
        shutil.copyfile(_migrated_file(), database_url(url).database or "")
    elif _ddl:
        _execute(url, _ddl)
    else:
        upgrade(url)
        _ddl.extend(_ddl_of(url))


@cache
def _migrated_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "db.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


def _ddl_of(url: str) -> list[str]:
    engine = create_engine(database_url(url))
    with engine.connect() as connection:
        tables = [row[0] for row in connection.execute(text("SHOW TABLES"))]
        ddl = [connection.execute(text(f"SHOW CREATE TABLE {table}")).one()[1] for table in tables]
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return [*ddl, f"INSERT INTO alembic_version VALUES ('{version}')"]


def _execute(url: str, statements: list[str]) -> None:
    engine = create_engine(database_url(url))
    with engine.connect() as connection:
        for statement in ("SET foreign_key_checks = 0", *statements):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.commit()
    engine.dispose()
