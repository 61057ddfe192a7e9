"""The database's schema: bring it up to date, or refuse to work on an old one."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from ansible_api.db import Database
from ansible_api.errors import StartupError

if TYPE_CHECKING:
    from alembic.config import Config


def upgrade(database_url: str) -> str:
    """Apply every missing migration; returns the revision that the database is at."""
    from alembic import command  # takes a while to load, and nobody else needs it

    database = Database(database_url)
    try:
        with database.engine.connect() as connection:
            command.upgrade(_config(connection), "head")
            return _current(connection) or ""
    finally:
        database.close()


def require_current(engine: Engine) -> None:
    """StartupError when the schema is not the one that this version was written for."""
    with engine.connect() as connection:
        check_current(connection)


def check_current(connection: Connection) -> None:
    """As `require_current`, on an open connection."""
    current, wanted = _current(connection), _head()
    if current != wanted:
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
