"""A private RabbitMQ on loopback ports, with its own node, cookie, data and port mapper."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import ServerProcess, answers, free_port
from tests.servers.requirements import require

PROTOCOL = b"AMQP\x00\x00\x09\x01"


@dataclass(frozen=True)
class RabbitMQServer:
    """A running server; `url` as ANSIBLE_API_BROKER_URL takes it."""

    url: str
    process: ServerProcess


@contextmanager
def rabbitmq(directory: Path) -> Iterator[RabbitMQServer]:
    """The rabbitmq-server of the machine on a free port of 127.0.0.1."""
    program = require("rabbitmq-server")
    port, distribution, mapper = (free_port() for _ in range(3))
    env = _environment(directory, port, distribution, mapper)
    (directory / "plugins").write_text("[].")
    (directory / "rabbitmq.conf").write_text(f"loopback_users = none\nlisteners.tcp.1 = 127.0.0.1:{port}\n")
    with ServerProcess(
        [program],
        directory / "log",
        lambda: answers(("127.0.0.1", port), b"RabbitMQ", say=PROTOCOL),
        env=env,
        cwd=directory,
        start_limit=60,
    ) as process:
        try:
            yield RabbitMQServer(f"amqp://guest:guest@127.0.0.1:{port}//", process)
        finally:
            _end_port_mapper(mapper)


def _environment(directory: Path, port: int, distribution: int, mapper: int) -> dict[str, str]:
    return {
        "PATH": os.defpath + ":/usr/sbin:/sbin",
        "HOME": str(directory),
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
    found = subprocess.run(["pgrep", "-x", "epmd"], capture_output=True, text=True, check=False)
    for pid in map(int, found.stdout.split()):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if f"ERL_EPMD_PORT={port}".encode() in environment:
            os.kill(pid, signal.SIGTERM)
