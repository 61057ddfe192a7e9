"""A small file system that one program alone sees, and that a test fills."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.requirements import require, require_namespaces

MOUNT = 'mkdir -p "$1"; mount -t tmpfs -o size=48m,nr_inodes=4000,mode=0700 tmpfs "$1"; shift; exec "$@"'


def on_small_disk(folder: Path) -> tuple[str, ...]:
    """The beginning of a command that finds a small file system there."""
    require_namespaces()
    return (require("unshare"), "--mount", "--propagation", "private", "--", "/bin/sh", "-c", MOUNT, "sh", str(folder))


@contextmanager
def without_blocks(disk: Path) -> Iterator[None]:
    """No byte can be written meanwhile."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb") as file:
            _until_full(lambda: os.write(file.fileno(), bytes(65536)))
            _until_full(lambda: os.write(file.fileno(), b"x"))
        yield
    finally:
        ballast.unlink(missing_ok=True)  # with a program that has ended its disk has gone, too


@contextmanager
def without_inodes(disk: Path) -> Iterator[None]:
    """No file can be made meanwhile."""
    folder = disk / "ballast"
    folder.mkdir()
    names = iter(range(100_000))
    try:
        _until_full(lambda: (folder / str(next(names))).touch())
        yield
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _until_full(write: Callable[[], object]) -> None:
    while True:
        try:
            write()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
