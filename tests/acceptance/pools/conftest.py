"""A cluster of pools: pytest-celery's fixtures with our workers."""

from collections.abc import Iterator

import pytest
from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBackend,
    CeleryTestBroker,
    CeleryTestWorker,
    CeleryWorkerCluster,
)

from ansible_api.celery import create_app
from ansible_api.routing import Queue
from tests.acceptance.pools.nodes import ServerContainer, worker_node
from tests.acceptance.service import Service, installed
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> RedisServer | RabbitMQServer:
    """Each broker in turn: running and empty."""
    server: RedisServer | RabbitMQServer = request.getfixturevalue(f"{request.param}_server")
    server.process.revive()
    server.flush()
    return server


@pytest.fixture(scope="module")
def pools(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, broker: RedisServer | RabbitMQServer
) -> Iterator[Service]:
    """An installation whose workers are the cluster's."""
    redis_server.flush()
    folder = tmp_path_factory.mktemp("pools")
    other = {"BROKER_URL": broker.url} if isinstance(broker, RabbitMQServer) else {}
    with installed(folder, f"sqlite:///{folder / 'database.sqlite'}", redis_server.url, **other) as service:
        service.start_api()
        yield service


@pytest.fixture(scope="module")
def celery_broker_cluster(broker: RedisServer | RabbitMQServer) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(CeleryTestBroker(ServerContainer(broker)))


@pytest.fixture(scope="module")
def celery_backend_cluster(redis_server: RedisServer) -> CeleryBackendCluster:
    return CeleryBackendCluster(CeleryTestBackend(ServerContainer(redis_server)))


@pytest.fixture(scope="module")
def celery_setup_app(pools: Service) -> Iterator[Celery]:
    """Our own app, so that inspection sees our queues."""
    app = create_app(pools.settings)
    yield app
    app.close()


@pytest.fixture(scope="module")
def celery_worker(pools: Service, celery_setup_app: Celery) -> Iterator[CeleryTestWorker]:
    worker = worker_node(pools, Queue.DEFAULT, celery_setup_app)
    yield worker
    worker.teardown()


@pytest.fixture(scope="module")
def celery_worker_cluster(
    pools: Service, celery_setup_app: Celery, celery_worker: CeleryTestWorker
) -> Iterator[CeleryWorkerCluster]:
    """A pool for each queue; that of default first."""
    others = [worker_node(pools, queue, celery_setup_app) for queue in Queue if queue is not Queue.DEFAULT]
    yield CeleryWorkerCluster(celery_worker, *others)
    for worker in others:
        worker.teardown()
