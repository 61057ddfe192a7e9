"""Objects as files of a private directory."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_api.errors import NotFound, Unavailable
from ansible_api.objects.base import BLOCK, Reader, Source, Stored, checked_key, reading

UNFINISHED = ".unfinished"  # no key begins with a dot
UNFINISHED_AGE = 24 * 3600
MOVES = 50


class DirectoryStore:
    """See ObjectStore. File work runs in threads, so that a slow disk does not hold the event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unfinished = root / UNFINISHED
        with _errors(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._unfinished.mkdir(mode=0o700, exist_ok=True)
            self._sweep()

    async def put(self, key: str, source: Source) -> Stored:
        path = self._path(key)
        with reading(source) as reader:
            await asyncio.to_thread(self._write, path, reader)
            return reader.stored()

    async def get(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        path = self._path(key)
        with _errors(self._root, key):
            file = await asyncio.to_thread(path.open, "rb")
            with file:
                file.seek(start or 0)
                left = float("inf") if end is None else end - (start or 0)
                while left > 0 and (block := await asyncio.to_thread(file.read, int(min(BLOCK, left)))):
                    left -= len(block)
                    yield block

    async def size(self, key: str) -> int:
        path = self._path(key)
        with _errors(self._root, key):
            return await asyncio.to_thread(_file_size, path)

    async def delete(self, key: str) -> None:
        path = self._path(key)
        with _errors(self._root, key), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            await asyncio.to_thread(self._remove, path)

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        if prefix:
            checked_key(prefix.rstrip("/"))
        with _errors(self._root):
            for key in await asyncio.to_thread(self._found, prefix):
                yield key

    async def presign(self, key: str, expires: int, filename: str) -> str | None:
        checked_key(key)
        return None

    async def check(self, limit: float = 2.0) -> None:
        with _errors(self._root):
            try:
                async with asyncio.timeout(limit):
                    await asyncio.to_thread(self._try_to_write)
            except TimeoutError:
                raise Unavailable(f"the object store's disk did not answer within {limit:g} s") from None

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _write(self, path: Path, reader: Reader) -> None:
        with _errors(self._root):
            descriptor, name = tempfile.mkstemp(dir=self._unfinished)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    while block := reader.read(BLOCK):
                        file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                self._move(Path(name), path)
            finally:
                Path(name).unlink(missing_ok=True)

    def _move(self, unfinished: Path, path: Path) -> None:
        for attempt in reversed(range(MOVES)):
            try:
                self._make_directory(path.parent)
                unfinished.replace(path)
                break
            except (FileNotFoundError, FileExistsError):
                # A delete beside us removes directories that are empty, and ours is until the file is in it.
                if attempt == 0:
                    raise
        with suppress(FileNotFoundError):  # deleted already, and its directory with it
            _sync_directory(path.parent)

    def _make_directory(self, directory: Path) -> None:
        # The root is made once, at start: one that has gone is a disk that is not mounted.
        missing = [parent for parent in (directory, *directory.parents) if self._root in parent.parents]
        for parent in reversed(missing):
            parent.mkdir(mode=0o700, exist_ok=True)

    def _remove(self, path: Path) -> None:
        path.unlink()
        for parent in path.parents:
            if parent == self._root:
                break
            try:
                parent.rmdir()
            except OSError:
                break  # not empty

    def _found(self, prefix: str) -> list[str]:
        self._root.stat()  # os.walk passes over a directory that is away
        top = self._root / prefix.rpartition("/")[0]
        files = (Path(directory, name) for directory, _, names in os.walk(top) for name in names)
        keys = (str(file.relative_to(self._root)) for file in files if self._unfinished not in file.parents)
        return sorted(key for key in keys if key.startswith(prefix))

    def _try_to_write(self) -> None:
        with tempfile.TemporaryFile(dir=self._unfinished) as file:
            file.write(b"check")

    def _sweep(self) -> None:
        """Remove what writers that were killed have left."""
        for file in self._unfinished.iterdir():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < time.time() - UNFINISHED_AGE:
                    file.unlink()


def _file_size(path: Path) -> int:
    if not path.is_file():
        raise FileNotFoundError(path)
    return path.stat().st_size


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors(root: Path, key: str | None = None) -> Iterator[None]:
    """What the file system says, in our words; only a call that reads `key` can find it missing."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if key is not None and root.is_dir():
            raise NotFound(f"there is no object {key}") from error
        raise Unavailable(f"object store: {error.strerror}") from error
    except OSError as error:
        raise Unavailable(f"object store: {error.strerror}") from error
