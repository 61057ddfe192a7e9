"""A private RabbitMQ on loopback ports, with its own node, cookie, data and port mapper."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kombu import Connection

from ansible_api.routing import Queue
from tests.servers.processes import ServerProcess, answers, free_port
from tests.servers.requirements import SEARCH_PATH, require

# Debian's command of the same name changes to a user of its own, who reads nothing here.
SEARCH_FIRST = "/usr/lib/rabbitmq/bin"
LOOKS_OFTEN = "-rabbit channel_tick_interval 1000"
PROTOCOL = b"AMQP\x00\x00\x09\x01"


@dataclass(frozen=True)
class RabbitMQServer:
    """A running server; `url` as ANSIBLE_API_BROKER_URL takes it."""

    url: str
    process: ServerProcess

    def flush(self) -> None:
        """Forget what waits, so that no test sees another's messages."""
        with Connection(self.url) as connection:
            for queue in Queue:
                connection.default_channel.queue_delete(queue.value)


@contextmanager
def rabbitmq(directory: Path, *, patience: float = 1800) -> Iterator[RabbitMQServer]:
    """The rabbitmq-server of the machine on a free port of 127.0.0.1.

    It waits for an acknowledgement for `patience` seconds: RabbitMQ's own half hour, if nobody says otherwise.
    """
    program = require("rabbitmq-server", first=SEARCH_FIRST)
    port, distribution, mapper = (free_port() for _ in range(3))
    (directory / "plugins").write_text("[].")
    (directory / "rabbitmq.conf").write_text(f"loopback_users = none\nlisteners.tcp.1 = 127.0.0.1:{port}\n")
    process = ServerProcess(
        [program],
        directory / "log",
        lambda: answers(("127.0.0.1", port), b"capabilities", say=PROTOCOL),
        env=_environment(directory, port, distribution, mapper)
        | {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-rabbit consumer_timeout {1000 * patience:.0f} {LOOKS_OFTEN}"},
        cwd=directory,
        start_limit=120,
    )
    try:
        with process:
            yield RabbitMQServer(f"amqp://guest:guest@127.0.0.1:{port}//", process)
    finally:
        _end_port_mapper(mapper)


def _environment(directory: Path, port: int, distribution: int, mapper: int) -> dict[str, str]:
    return {
        "PATH": SEARCH_PATH,
        "HOME": str(directory),
        "RUNNING_UNDER_SYSTEMD": "1",  # no shell stays between us and Erlang: signals are to reach the server
        "RABBITMQ_NODENAME": f"tests{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "logs"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


def _end_port_mapper(port: int) -> None:
    """Erlang starts one beside the node, and it outlives that."""
    wanted = f"ERL_EPMD_PORT={port}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is another user's
            if (process / "comm").read_text().strip() == "epmd" and wanted in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGTERM)
