"""Objects as files of a private directory."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Self, TypeVar

from ansible_api import unfinished
from ansible_api.errors import NotFound, Unavailable
from ansible_api.objects import threads
from ansible_api.objects.base import BLOCK, Reader, Source, Stored, checked_key, reading

T = TypeVar("T")
UNFINISHED = ".unfinished"  # no key begins with a dot
MOVES = 50
OPEN_LIMIT = 10.0  # seconds
CALL_LIMIT = 20.0  # for one step; writing an object is one, and has more time
SLOWEST = 1024 * 1024  # bytes a second that are written


class DirectoryStore:
    """See ObjectStore. File work runs in threads that nobody has to wait for: a shared directory may hang for ever."""

    def __init__(self, root: Path) -> None:
        """Blocking: `open` waits for it in a thread."""
        self._root = root
        self._unfinished = root / UNFINISHED
        with _errors(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._unfinished.mkdir(mode=0o700, exist_ok=True)
            unfinished.sweep(self._unfinished.iterdir())

    @classmethod
    async def open(cls, root: Path) -> Self:
        """Unavailable: it cannot be made, or does not answer."""
        return await _answer(threads.submit(partial(cls, root)), lambda: OPEN_LIMIT)

    async def put(self, key: str, source: Source) -> Stored:
        path = self._path(key)
        with reading(source) as reader:
            written = self._begin(partial(self._write, path, reader))
            await _answer(written, lambda: CALL_LIMIT + reader.size / SLOWEST)
            return reader.stored()

    async def get(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        opened = self._begin(partial(_open, self._path(key), start or 0), key)
        try:
            file = await _answer(opened)
            left = float("inf") if end is None else end - (start or 0)
            while left > 0 and (block := await _answer(self._begin(partial(file.read, int(min(BLOCK, left))), key))):
                left -= len(block)
                yield block
        finally:
            opened.add_done_callback(_close)

    async def size(self, key: str) -> int:
        return await _answer(self._begin(partial(_file_size, self._path(key)), key))

    async def delete(self, key: str) -> None:
        await _answer(self._begin(partial(self._remove, self._path(key))))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        if prefix:
            checked_key(prefix.rstrip("/"))
        for key in await _answer(self._begin(partial(self._found, prefix))):
            yield key

    async def presign(self, key: str, expires: int, filename: str) -> str | None:
        checked_key(key)
        return None

    async def check(self, limit: float = 2.0) -> None:
        await _answer(self._begin(self._try_to_write), lambda: limit)

    def _begin(self, work: Callable[[], T], key: str | None = None) -> Future[T]:
        """Work in a thread, with errors as those of `_errors`."""

        def run() -> T:
            with _errors(self._root, key):
                return work()

        return threads.submit(run)

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _write(self, path: Path, reader: Reader) -> None:
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

    def _move(self, written: Path, path: Path) -> None:
        for attempt in reversed(range(MOVES)):
            try:
                self._make_directory(path.parent)
                written.replace(path)
                break
            except (FileNotFoundError, FileExistsError):
                # A delete beside us removes directories that are empty, and ours is until the file is in it.
                if attempt == 0:
                    raise
        with suppress(FileNotFoundError):  # deleted already, and its directory with it
            unfinished.sync_directory(path.parent)

    def _make_directory(self, directory: Path) -> None:
        # The root is made once, at start: one that has gone is a disk that is not mounted.
        missing = [parent for parent in (directory, *directory.parents) if self._root in parent.parents]
        for parent in reversed(missing):
            parent.mkdir(mode=0o700, exist_ok=True)

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return  # there is no such object
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
        files = (Path(directory, name) for directory, _, names in os.walk(top, onerror=_unless_gone) for name in names)
        keys = (str(file.relative_to(self._root)) for file in files if self._unfinished not in file.parents)
        return sorted(key for key in keys if key.startswith(prefix))

    def _try_to_write(self) -> None:
        with tempfile.TemporaryFile(dir=self._unfinished) as file:
            file.write(b"check")


async def _answer(work: Future[T], limit: Callable[[], float] = lambda: CALL_LIMIT) -> T:
    """What comes of work in a thread; Unavailable: it is left behind, as nobody knows whether it will ever end."""
    try:
        return await threads.finished(work, limit)
    except TimeoutError:
        raise Unavailable(f"the object store's disk did not answer within {limit():g} s") from None


def _open(path: Path, start: int) -> FileIO:
    file = FileIO(path)  # without a buffer, whose lock a read that hangs would keep from who closes the file
    if start:
        file.seek(start)
    return file


def _close(opened: "Future[FileIO]") -> None:
    """Close what was opened, if it was; that may hang, too."""
    if not opened.cancelled() and opened.exception() is None:
        threads.submit(opened.result().close)


def _unless_gone(error: OSError) -> None:
    """What cannot be looked into is not empty; a delete beside us removes directories."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _file_size(path: Path) -> int:
    if not path.is_file():
        raise FileNotFoundError(path)
    return path.stat().st_size


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
