"""A directory of each worker process's own, below the state directory: its heartbeat, and its metrics.

The worker holds a lock on it for as long as any of its processes lives. Light on imports: probes read it.
"""

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_api.errors import StartupError

FOLDER = "workers"
HEARTBEAT = "heartbeat"
METRICS = "metrics"
SILENCE = 60.0  # seconds without a heartbeat, which comes every ten


class _Process:
    """What this process has taken, and its children know."""

    path: Path | None = None


def own_dir(state_dir: Path) -> Path:
    """This worker's directory, made when it is first asked for; those that nobody holds any more are removed."""
    if _Process.path is None:
        _Process.path = _take(state_dir / FOLDER)
    return _Process.path


def living(state_dir: Path) -> list[Path]:
    """The directories of the workers that are there."""
    return [path for path in sorted((state_dir / FOLDER).glob("*/")) if not _is_free(path)]


def ailing(state_dir: Path) -> str | None:
    """What is wrong with the workers that are there, as their heartbeats tell; None: nothing."""
    there = living(state_dir)
    if not there:
        return f"no worker runs in {state_dir}"
    for path in there:
        silence = time.time() - _last_beat(path)
        if silence > SILENCE:
            return f"the worker of process {path.name} has not consumed for {silence:.0f} seconds"
    return None


def _last_beat(path: Path) -> float:
    """Unix time of its last sign of life; that of its start when there was none yet."""
    try:
        return (path / HEARTBEAT).stat().st_mtime
    except FileNotFoundError:
        return path.stat().st_mtime


def _take(folder: Path) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        with _alone(folder):
            for path in folder.glob("*/"):
                if _is_free(path):
                    shutil.rmtree((path / METRICS).resolve(), ignore_errors=True)  # in memory, behind a link
                    shutil.rmtree(path, ignore_errors=True)
            # Containers that share a state directory count their processes alike.
            own = folder / f"{os.getpid()}@{socket.gethostname()}"
            own.mkdir(mode=0o700)
            _hold(own)
    except OSError as error:
        raise StartupError(f"ANSIBLE_API_STATE_DIR: cannot use {folder}: {error.strerror}") from None
    return own


def _hold(path: Path) -> None:
    """Lock it until this process and all that it forks have ended: the handle is never closed."""
    # A probe that looks at it just now lets go at once.
    fcntl.flock(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_EX)


def _is_free(path: Path) -> bool:
    with suppress(FileNotFoundError), _opened(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody takes a directory between its creation and its lock."""
    with _opened(folder) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)
