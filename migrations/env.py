"""Alembic's door to the models: the connection is given by `ansible-api db`, or made from the settings."""

from typing import Any

from alembic import context
from alembic.ddl.mysql import MySQLImpl
from sqlalchemy import Connection

from ansible_api.db import Database
from ansible_api.models import metadata
from ansible_api.settings import load_settings


class Repeatable(MySQLImpl):
    """Steps that find what they did: MariaDB commits each at once, and only then can its revision be noted.

    An upgrade that ended between the two, or while the server went on with its step, is repeated.
    """

    __dialect__ = "mysql"  # Alembic takes the class that named its dialect last

    def create_table(self, table: Any, **options: Any) -> None:
        super().create_table(table, **options | {"if_not_exists": True})

    def create_index(self, index: Any, **options: Any) -> None:
        super().create_index(index, **options | {"if_not_exists": True})

    def drop_index(self, index: Any, **options: Any) -> None:
        super().drop_index(index, **options | {"if_exists": True})

    def add_column(self, table_name: str, column: Any, **options: Any) -> None:
        super().add_column(table_name, column, **options | {"if_not_exists": True})


def _migrate(connection: Connection) -> None:
    # One transaction per revision: what MariaDB committed of a failed one is its single step, or nothing.
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with Database(load_settings().database_url.get_secret_value(), patient=True).engine.connect() as own:
        _migrate(own)
