"""pytest-celery's nodes as processes of this machine in place of containers."""

import itertools
from typing import Any

from celery import Celery
from pytest_celery import CeleryTestContainer, CeleryTestWorker

from tests.acceptance.service import COMMAND, Service
from tests.servers.processes import ServerProcess
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer

_numbers = itertools.count(1)


class ProcessContainer(CeleryTestContainer):
    """What pytest-celery's nodes ask of a container, answered by a process."""

    name: Any = None  # the parent has read-only properties that ask a Docker engine
    id: Any = None

    def __init__(self, process: ServerProcess, name: str) -> None:  # the parent's wants a Docker container
        self.process = process
        self.name = name
        self.id = f"{name}-{next(_numbers)}"

    @property
    def status(self) -> str:
        return "running" if self.process.running else "exited"

    def ready(self) -> bool:
        return self.process.running

    def reload(self) -> None:
        """A process needs no second look."""

    def logs(self) -> str:
        return self.process.log.read_text(errors="replace")

    def kill(self, signal: str | int = "SIGKILL") -> None:
        self.process.kill()

    def restart(self, timeout: float = 10) -> None:
        self.process.restart()

    def teardown(self) -> None:
        self.process.stop()


class ServerContainer(ProcessContainer):
    """A server that outlives the test: the session stops it."""

    def __init__(self, server: RedisServer | RabbitMQServer) -> None:
        super().__init__(server.process, type(server).__name__)
        self._url = server.url

    @property
    def celeryconfig(self) -> dict[str, Any]:
        return {"url": self._url, "host_url": self._url, "hostname": "127.0.0.1", "vhost": "0"}

    def teardown(self) -> None:
        """Nothing: other tests use it, too."""


class WorkerContainer(ProcessContainer):
    """`ansible-api worker` on one queue."""

    def __init__(self, service: Service, queue: str) -> None:
        self.queue = queue
        ready = service.folder / f"{queue}.ready"
        options = ["--queue", queue, "--concurrency", "1", "--ready-file", str(ready)]
        process = ServerProcess(
            argv=[*COMMAND, "worker", *options],
            log=service.folder / f"{queue}.log",
            ready=ready.exists,
            env=service.environment(),
            start_limit=60,
        )
        super().__init__(process, queue)

    def worker_name(self) -> str:
        return self.queue

    def worker_queue(self) -> str:
        return self.queue


def worker_node(service: Service, queue: str, app: Celery) -> CeleryTestWorker:
    """A worker that takes tasks."""
    container = WorkerContainer(service, queue)
    container.process.start()
    return CeleryTestWorker(container, app=app)
