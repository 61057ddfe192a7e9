"""A private MariaDB server, and a fresh database in it for each test that asks."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from tests.servers.processes import ServerProcess, answers, free_port
from tests.servers.requirements import require

USER = "tests"
PASSWORD = "tests-password"


@dataclass(frozen=True)
class MariaDBServer:
    """A running server; `execute` acts as its administrator."""

    port: int
    socket: Path
    process: ServerProcess
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_database(self) -> str:
        """The URL of a new empty database, as ANSIBLE_API_DATABASE_URL takes it."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop it at once: connections that a test left open must not hold the server."""
        name = url.rsplit("/", 1)[1]
        for (connection,) in self.execute("SELECT id FROM information_schema.processlist WHERE db = %s", name):
            with suppress(pymysql.Error):  # it may have ended by itself meanwhile
                self.execute(f"KILL {connection}")
        self.execute(f"DROP DATABASE IF EXISTS {name}")

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with (
            pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)
            return list(cursor.fetchall())


@contextmanager
def mariadb(directory: Path) -> Iterator[MariaDBServer]:
    """A server on a free port of 127.0.0.1 with its data in the directory."""
    server = require("mariadbd")
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    scratch = directory / "tmp"  # of its own: a server that starts removes the temporary tables of its neighbours
    scratch.mkdir(parents=True)
    own = [*as_root, f"--datadir={directory / 'data'}", f"--tmpdir={scratch}"]
    _install(own)
    port, socket = free_port(), directory / "s.sock"
    options = [
        "--no-defaults",
        *own,
        "--bind-address=127.0.0.1",
        f"--port={port}",
        f"--socket={socket}",
        f"--pid-file={directory / 'pid'}",
        f"--log-error={directory / 'error.log'}",
        "--innodb-buffer-pool-size=64M",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
    ]
    with ServerProcess([server, *options], directory / "log", lambda: answers(str(socket), b"MariaDB")) as process:
        database = MariaDBServer(port, socket, process)
        database.execute(f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        database.execute(f"GRANT ALL ON *.* TO {USER}@'127.0.0.1'")
        yield database


def _install(own: list[str]) -> None:
    options = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([require("mariadb-install-db"), *options, *own], check=True, capture_output=True)
