"""Files that are written aside and then renamed: for good, and what is left of those whose writers died."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

AGE = 24 * 3600  # seconds; to write one takes a moment, and no day


def sweep(files: Iterable[Path]) -> None:
    """Remove those that nobody can be writing any more."""
    for file in files:
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < time.time() - AGE:
                file.unlink()


def sync_directory(directory: Path) -> None:
    """A file that was renamed into it is there after a loss of power, too."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
