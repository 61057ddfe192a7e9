"""The worker's cache of installed collections and roles, in the form of the cache of repositories (git_cache.py).

    repos/<key>/current             JSON: the generation in use, and when it was installed
    trees/<key>-<generation>/files  what was installed; held under a shared lock by every play that reads it

A generation never changes: what is looked up again becomes a new one, and the old one goes when nobody holds it.
"""

import fcntl
import json
import math
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.git_cache import Count, Entry, Note, discard, evict, locked

MOST_FILES = 300_000  # and directories: empty ones take no bytes, but the disk has only so many


@dataclass(frozen=True, slots=True)
class Shelf:
    """One set of requirements; `max_age` seconds after its installation it is looked up again."""

    root: Path
    key: str
    max_age: float = math.inf

    @property
    def entry(self) -> Entry:
        return Entry(self.root, self.key)

    @contextmanager
    def lent(
        self, install: Callable[[Path], None], wait: Callable[[], None], cache_size: int
    ) -> Iterator[tuple[Path, bool]]:
        """What is installed, held for as long as this is entered, and whether it was there.

        `install` is called by one of all who ask at the same time, with a fresh directory whose `files` it makes.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        oldest = time.time() - self.max_age
        with ExitStack() as held:
            files = self._take(held, oldest)
            hit = files is not None
            if files is None:
                with self.entry.writing(wait) as scratch:
                    files = self._take(held, oldest)  # another job may have installed it meanwhile
                    hit = files is not None
                    if files is None:
                        self._make(install, scratch)
                        files = self._take(held, -math.inf)
                evict(self.root, cache_size)
            if files is None:
                raise JobError("dependencies_invalid", "The installed collections do not last: check the disk.")
            yield files, hit

    def _take(self, held: ExitStack, oldest: float) -> Path | None:
        generation, installed = self._current()
        if generation is None or installed < oldest:
            return None
        tree = held.enter_context(self.entry.reading(generation))
        return tree / "files" if tree else None

    def _current(self) -> tuple[str | None, float]:
        try:
            noted = json.loads((self.entry.home / "current").read_text())
            return str(noted["generation"]), float(noted["installed"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, 0.0

    def _make(self, install: Callable[[Path], None], scratch: Path) -> None:
        try:
            install(scratch)
            self._keep(scratch)
        except OSError as error:
            detail = (
                f"The worker could not store the collections ({error.strerror}): free space in its state directory."
            )
            raise TransientJobError("dependencies_not_stored", detail) from error

    def _keep(self, scratch: Path) -> None:
        """Put `scratch/files` into place, then point to it."""
        before, _ = self._current()
        generation = secrets.token_hex(8)
        size = check_size(scratch / "files", sys.maxsize)
        self.entry.keep_tree(scratch, generation, Note(Count(1, size)))
        (scratch / "current").write_text(json.dumps({"generation": generation, "installed": time.time()}))
        (scratch / "current").rename(self.entry.home / "current")
        (self.entry.home / "size").write_text("0")  # or it would not be evicted
        if before is not None:
            with locked(self.entry.tree(before), fcntl.LOCK_EX) as alone:
                if alone:
                    discard(self.root, self.entry.tree(before))


def watch_size(directory: Path, limit: int, keep_going: Callable[[], bool], pause: float = 1.0) -> Callable[[], bool]:
    """A `keep_going` that also looks, at most every `pause` seconds, whether the directory has grown too large."""
    looked = time.monotonic()

    def look() -> bool:
        nonlocal looked
        if time.monotonic() - looked > pause:
            check_size(directory, limit)
            looked = time.monotonic()
        return keep_going()

    return look


def check_size(directory: Path, limit: int) -> int:
    """Bytes of all files below; JobError dependencies_too_large."""
    size = files = 0
    for path, _, names in os.walk(directory):
        files += 1 + len(names)
        for name in names:
            try:
                size += os.lstat(f"{path}/{name}").st_size
            except FileNotFoundError:
                continue
        if size > limit:
            detail = f"The collections and roles take more than {limit} bytes: ask for fewer or smaller ones."
            raise JobError("dependencies_too_large", detail)
        if files > MOST_FILES:
            detail = f"The collections and roles are more than {MOST_FILES} files: ask for fewer or smaller ones."
            raise JobError("dependencies_too_large", detail)
    return size
