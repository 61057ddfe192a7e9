"""The database's schema: bring it up to date, wait until it is, or refuse to work on an old one."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from ansible_api.db import Database
from ansible_api.errors import StartupError

if TYPE_CHECKING:
    from alembic.config import Config

PAUSE = 1.0  # seconds between two looks


def upgrade(database_url: str) -> str:
    """Apply every missing migration; returns the revision that the database is at."""
    from alembic import command  # takes a while to load, and nobody else needs it

    database = Database(database_url, silence=None)
    try:
        with database.engine.connect() as connection:
            command.upgrade(_config(connection), "head")
            return _current(connection) or ""
    finally:
        database.close()


def require_current(engine: Engine) -> None:
    """StartupError when the schema is older than this version needs."""
    with engine.connect() as connection:
        check_current(connection)


def wait_until_current(database_url: str, limit: float) -> None:
    """Return when somebody has brought the schema up to date; StartupError tells what was wrong after `limit` seconds.

    A database that does not answer yet is waited for, too.
    """
    deadline = time.monotonic() + limit
    database = Database(database_url)
    try:
        while (trouble := _trouble(database.engine)) is not None:
            if (left := deadline - time.monotonic()) <= 0:
                raise StartupError(f"waited {limit:g} s in vain: {trouble}")
            time.sleep(min(PAUSE, left))
    finally:
        database.close()


def _trouble(engine: Engine) -> str | None:
    try:
        require_current(engine)
    except StartupError as error:
        return str(error)
    except DBAPIError as error:
        return f"the database is away: {error.orig}"
    return None


def check_current(connection: Connection) -> None:
    """As `require_current`, on an open connection.

    A newer schema is taken: migrations only add, so that the version before goes on, and starts, during an upgrade.
    """
    current, wanted = _current(connection), _head()
    if current is None or current < wanted:
        found = current or "nothing"
        raise StartupError(
            f"the database schema is at {found}, this version needs {wanted}: run `ansible-api db upgrade`"
        )


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _head() -> str:
    """The newest revision: files of revisions begin with their ids, which count up."""
    return max(path.name.partition("_")[0] for path in (_scripts() / "versions").glob("[0-9]*.py"))


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    config.attributes["connection"] = connection
    return config


def _scripts() -> Path:
    packaged = Path(__file__).parent / "migrations"  # in the wheel
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"
