"""The directory that `up` keeps everything in: its lock, its secrets, its logs."""

import base64
import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from ansible_api.cli.exits import CommandError

LONGEST_SOCKET = 100  # sun_path holds 108 bytes with its end
LONGEST_LOG = 10 * 1024 * 1024


@dataclass(frozen=True)
class DataDir:
    """Where things lie in the directory; the path is absolute."""

    path: Path

    @property
    def master_key(self) -> Path:
        """What encrypts the stored credentials."""
        return self.path / "master.key"

    @property
    def admin_key(self) -> Path:
        """The first API key."""
        return self.path / "admin.key"

    @property
    def webhook_secret(self) -> Path:
        """What the first team's webhooks are signed with."""
        return self.path / "webhook.secret"

    def ready_file(self, name: str) -> Path:
        """A worker touches it when it takes tasks."""
        return self.path / "run" / f"{name}.ready"

    def log(self, name: str) -> Path:
        """The log file of a part."""
        return self.path / "logs" / f"{name}.log"

    def prepare(self) -> None:
        """Make the directory and what belongs in it; a log that grew large moves aside."""
        try:
            for directory in (self.path, *(self.path / name for name in ("logs", "run", "objects", "state"))):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"--data {self.path}: {error.strerror}") from None
        for log in (self.path / "logs").glob("*.log"):
            if log.stat().st_size > LONGEST_LOG:
                log.replace(log.with_suffix(".log.1"))
        if not self.master_key.exists():
            write_secret(self.master_key, "1:" + base64.b64encode(secrets.token_bytes(32)).decode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory; CommandError with the holder's pid when another process has it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened = (self.path / "up.lock").open("a+")
        except OSError as error:
            raise CommandError(f"--data {self.path}: {error.strerror}: choose another directory") from None
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise CommandError(
                    f"{self.path} is in use by process {holder}: stop that one, or choose another --data"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    @contextmanager
    def socket(self) -> Iterator[Path]:
        """A path for Redis' unix socket: in the directory, or where that is too long for the kernel, elsewhere."""
        path = self.path / "run" / "redis.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET:
            yield path
            return
        short = Path(tempfile.mkdtemp(prefix="ansible-api-"))
        try:
            yield short / "redis.sock"
        finally:
            rmtree(short, ignore_errors=True)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def once(path: Path, make: Callable[[], str]) -> None:
    """Make a secret unless there is one."""
    if not path.exists():
        write_secret(path, make().strip())
