"""The API refuses to start where it could not serve."""

import base64
from pathlib import Path

import pytest
from sqlalchemy import text

from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.schemas import NewCredential
from ansible_api.credentials.store import create
from ansible_api.db import Database
from ansible_api.errors import StartupError, Unavailable
from ansible_api.settings import Settings
from tests.integration.api.conftest import MASTER_KEY, settings_of, started
from tests.servers.mariadb import MariaDBServer

pytestmark = pytest.mark.anyio


async def test_an_empty_database_refuses_and_names_the_command(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="ansible-api db upgrade"):
        async with started(settings_of(database_url, "redis://127.0.0.1:1", tmp_path)):
            pass


async def test_an_old_schema_refuses(sqlite_settings: Settings) -> None:
    database = Database(sqlite_settings.database_url.get_secret_value())
    database.write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '0007'")))
    database.close()
    with pytest.raises(StartupError, match="0007"):
        async with started(sqlite_settings):
            pass


async def test_the_schema_of_a_newer_version_is_taken(sqlite_settings: Settings) -> None:
    database = Database(sqlite_settings.database_url.get_secret_value())
    database.write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9000'")))
    database.close()
    async with started(sqlite_settings) as api, api.client() as client:
        assert (await client.get("/api/v1/jobs")).status_code == 200


@pytest.mark.parametrize("master_key", ["1:" + base64.b64encode(bytes(32)).decode(), "2:" + MASTER_KEY[2:]])
async def test_a_master_key_that_does_not_open_what_is_stored_refuses(
    sqlite_settings: Settings, master_key: str
) -> None:
    database = Database(sqlite_settings.database_url.get_secret_value())
    new = NewCredential.model_validate({"name": "a", "kind": "vault_password", "password": "x"})
    database.write(create, Cipher.from_setting(sqlite_settings.master_key), "red", new)
    database.close()
    wrong = Settings(**sqlite_settings.model_dump(exclude={"master_key"}), master_key=master_key)  # type: ignore[arg-type]
    with pytest.raises(StartupError, match="MASTER_KEY"):
        async with started(wrong):
            pass


async def test_a_database_that_is_away_is_said_so(
    mariadb_url: str, mariadb_server: MariaDBServer, tmp_path: Path
) -> None:
    mariadb_server.process.kill()
    with pytest.raises(Unavailable, match="database"):
        async with started(settings_of(mariadb_url, "redis://127.0.0.1:1", tmp_path)):
            pass


async def test_it_starts_without_redis(sqlite_settings: Settings) -> None:
    away = Settings(**sqlite_settings.model_dump(exclude={"redis_url"}), redis_url="redis://127.0.0.1:1")  # type: ignore[arg-type]
    async with started(away) as api, api.stranger() as client:
        assert (await client.get("/health")).status_code == 200
