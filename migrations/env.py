"""Alembic's door to the models: the connection is given by `ansible-api db`, or made from the settings."""

from alembic import context
from sqlalchemy import Connection

from ansible_api.db import Database
from ansible_api.models import metadata
from ansible_api.settings import load_settings


def _migrate(connection: Connection) -> None:
    # One transaction per revision: MariaDB commits at every DDL statement, so a failed one leaves a clear place.
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with Database(load_settings().database_url.get_secret_value()).engine.connect() as own:
        _migrate(own)
