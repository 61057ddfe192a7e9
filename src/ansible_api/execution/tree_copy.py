"""Copies the files of a commit for one job, quickly, and without following any symlink among them."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from ansible_api.execution.git_cache import Count
from ansible_api.execution.git_request import BLOCK

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PIECE = 1 << 20


def copy_tree(source: Path, destination: Path, pulse: Callable[[], None]) -> Count:
    """Copy `source` to `destination`, which is made here and 0700; `pulse` is called now and then and may raise.

    Relative to open directories and of regular files, directories and symlinks only: half the time of
    `shutil.copytree` for a tree of small files.
    """
    destination.mkdir(mode=0o700)
    copier = _Copier(pulse)
    copier.level(source, None, destination, None)
    return Count(copier.files, copier.size)


class _Copier:
    def __init__(self, pulse: Callable[[], None]) -> None:
        self._pulse = pulse
        self.files = 0
        self.size = 0

    def level(self, source: Path | str, above: int | None, target: Path | str, beside: int | None) -> None:
        self._pulse()
        old = os.open(source, DIRECTORY, dir_fd=above)
        try:
            new = os.open(target, DIRECTORY, dir_fd=beside)
            try:
                with os.scandir(old) as entries:
                    for entry in entries:
                        self._entry(entry, old, new)
            finally:
                os.close(new)
        finally:
            os.close(old)

    def _entry(self, entry: os.DirEntry[str], old: int, new: int) -> None:
        self.size += BLOCK
        name = entry.name
        if entry.is_symlink():
            target = os.readlink(name, dir_fd=old)
            os.symlink(target, name, dir_fd=new)
            self._counted(len(os.fsencode(target)))
        elif entry.is_dir(follow_symlinks=False):
            os.mkdir(name, 0o755, dir_fd=new)
            self.level(name, old, name, new)
        else:
            self._counted(_copy_file(name, old, new))

    def _counted(self, size: int) -> None:
        self.files += 1
        self.size += size


def _copy_file(name: str, old: int, new: int) -> int:
    source = os.open(name, OLD_FILE, dir_fd=old)
    try:
        said = os.fstat(source)
        target = os.open(name, NEW_FILE, stat.S_IMODE(said.st_mode) & 0o755, dir_fd=new)
        try:
            return _pour(source, target, said.st_size)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _pour(source: int, target: int, length: int) -> int:
    """Asks for no more than there is, as no file of the cache grows: small files take one call and a small buffer."""
    size = 0
    while size < length and (piece := os.read(source, min(PIECE, length - size))):
        size += len(piece)
        while piece:
            piece = piece[os.write(target, piece) :]
    return size
