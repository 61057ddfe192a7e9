"""The worker's cache of repositories: a bare mirror per repository and credential, and a tree per commit.

    repos/<key>/mirror/          bare repository; written under an exclusive lock of repos/<key>
    repos/<key>/size             bytes of the mirror; its time of change is that of the last use
    repos/<key>/tmp-*            what is being made; swept by the next holder of the exclusive lock
    trees/<key>-<commit>/files/  read under a shared lock of trees/<key>-<commit>
    trees/<key>-<commit>/count   JSON of the note of what was written; its time of change is that of the last use
    asked/                       what servers said just now, for jobs that ask the same (git_sharing.py)
    trash/                       what is being removed

Locks are `flock` on the directories themselves, so they end with their process and leave nothing behind. Whatever
appears under its final name was renamed there whole; a copy that does not hold what `count` says is not used.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MOST_PACKS = 50  # each fetch adds one, and each slows reading down a little
PAUSE = 0.05  # seconds between two tries for a lock


def pause() -> None:
    """Wait a moment before the next try for a lock."""
    time.sleep(PAUSE)


class Count(NamedTuple):
    """How much a tree holds: entries other than directories, bytes on disk."""

    files: int
    size: int


class Submodule(NamedTuple):
    """Where a submodule belongs in its tree, and which commit of what it is; `url` is empty when nothing says it."""

    path: str
    url: str
    commit: str


@dataclass(frozen=True, slots=True)
class Note:
    """What a tree is to hold; its submodules are not among its files."""

    count: Count
    submodules: tuple[Submodule, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One repository as one credential sees it."""

    root: Path
    key: str

    @property
    def home(self) -> Path:
        return self.root / "repos" / self.key

    @property
    def mirror(self) -> Path:
        return self.home / "mirror"

    def tree(self, commit: str) -> Path:
        return self.root / "trees" / f"{self.key}-{commit}"

    @contextmanager
    def writing(self, wait: Callable[[], None]) -> Iterator[Path]:
        """Hold the repository alone; gives a fresh directory whose parts are to be renamed into place."""
        while True:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self.home, fcntl.LOCK_EX, wait) as held:
                if not held:
                    continue  # evicted between making and locking it
                self._sweep()
                scratch = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.home))
                try:
                    yield scratch
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
                return

    @contextmanager
    def reading(self, commit: str) -> Iterator[Path | None]:
        """Hold the tree of a commit against eviction, as long as its files are read; None when it is not here."""
        tree = self.tree(commit)
        with locked(tree, fcntl.LOCK_SH, pause) as held:
            if held:
                for stamp in (tree / "count", self.home / "size"):
                    with suppress(FileNotFoundError):
                        os.utime(stamp)
            yield tree if held else None

    def drop_worn_mirror(self) -> None:
        """Begin anew after many fetches: a mirror without history is quickly had again."""
        if sum(1 for _ in self.mirror.glob("objects/pack/*.pack")) > MOST_PACKS:
            discard(self.root, self.mirror)

    def keep_mirror(self, made: Path) -> None:
        """Put a new mirror into place, or note the new size of the present one."""
        if made != self.mirror:
            made.rename(self.mirror)
        (self.home / "size").write_text(str(disk_use(self.mirror)))

    def keep_tree(self, scratch: Path, commit: str, note: Note) -> None:
        """Put `scratch/files` into place as the tree of the commit."""
        (scratch / "count").write_text(json.dumps([*note.count, note.submodules]))
        whole = scratch / "tree"
        whole.mkdir(mode=0o700)
        (scratch / "files").rename(whole / "files")
        (scratch / "count").rename(whole / "count")
        discard(self.root, self.tree(commit))  # only a damaged one can be there
        self.tree(commit).parent.mkdir(exist_ok=True, mode=0o700)
        whole.rename(self.tree(commit))

    def _sweep(self) -> None:
        """Remove what a killed writer left, also inside the mirror: half a pack, the locks of refs."""
        for rest in self.home.glob("tmp-*"):
            shutil.rmtree(rest, ignore_errors=True)
        packs = self.mirror / "objects" / "pack"
        for rest in [*packs.glob("*.pack"), *packs.glob("*.lock"), *packs.glob("*tmp*"), *packs.glob("incoming-*")]:
            if rest.suffix != ".pack" or not rest.with_suffix(".idx").exists():
                rest.unlink(missing_ok=True)
        for lock in self.mirror.rglob("*.lock"):
            lock.unlink(missing_ok=True)


@contextmanager
def locked(directory: Path, mode: int, wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold a lock on a directory; False when it is not there (any more), or is busy and there is no `wait`.

    `wait` pauses between two tries, or raises to give up.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        while not (free := _lock(handle, mode)) and wait:
            wait()
        yield free and _is_still(directory, handle)
    finally:
        os.close(handle)


def _lock(handle: int, mode: int) -> bool:
    try:
        fcntl.flock(handle, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(directory: Path, handle: int) -> bool:
    try:
        return os.path.samestat(directory.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def disk_use(directory: Path) -> int:
    """Bytes of all files below."""
    return sum(path.lstat().st_size for path in directory.rglob("*"))


def discard(root: Path, path: Path) -> None:
    """Remove a directory so that no half of it is ever seen under its name."""
    trash = root / "trash"
    trash.mkdir(parents=True, exist_ok=True, mode=0o700)
    grave = Path(tempfile.mkdtemp(dir=trash))
    with suppress(FileNotFoundError):
        path.rename(grave / "it")
    shutil.rmtree(grave, ignore_errors=True)


class _Candidate(NamedTuple):
    used: float
    size: int
    path: Path


def evict(root: Path, limit: int) -> None:
    """Bring the cache below its limit: least recently used first, never what somebody holds."""
    with locked(root / "repos", fcntl.LOCK_EX) as held:
        if not held:
            return  # somebody else is at it
        _empty_trash(root)
        _drop_unfinished(root)
        candidates = sorted([*_mirrors(root), *_trees(root)])
        excess = sum(candidate.size for candidate in candidates) - limit
        for candidate in candidates:
            if excess > 0 and _remove(root, candidate.path):
                excess -= candidate.size


def _drop_unfinished(root: Path) -> None:
    """Remove what failed before it held anything, and what a killed process left of a first fetch."""
    for home in (root / "repos").glob("*"):
        if not (home / "size").exists():
            _remove(root, home)


def _mirrors(root: Path) -> Iterator[_Candidate]:
    for home in (root / "repos").glob("*"):
        with suppress(FileNotFoundError):
            stamp = home / "size"
            yield _Candidate(stamp.stat().st_mtime, int(stamp.read_text() or 0), home)


def _trees(root: Path) -> Iterator[_Candidate]:
    for tree in (root / "trees").glob("*"):
        with suppress(FileNotFoundError):
            yield _Candidate((tree / "count").stat().st_mtime, read_note(tree).count.size, tree)


def read_note(tree: Path) -> Note:
    """What the tree is to hold; nothing when the note of it is damaged."""
    try:
        files, size, submodules = json.loads((tree / "count").read_text())
    except ValueError:
        return Note(Count(0, 0))
    return Note(Count(files, size), tuple(Submodule(*each) for each in submodules))


def _remove(root: Path, path: Path) -> bool:
    with locked(path, fcntl.LOCK_EX) as held:
        if held:
            discard(root, path)
        return held


def _empty_trash(root: Path) -> None:
    """Remove what a killed process had begun to remove."""
    for rest in (root / "trash").glob("*/it"):
        shutil.rmtree(rest, ignore_errors=True)
        with suppress(OSError):
            rest.parent.rmdir()
