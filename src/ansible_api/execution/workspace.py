"""One private directory per attempt, its secrets on tmpfs; both are gone when the attempt is, however it ended.

A living attempt holds a lock on both directories; `sweep` removes those that nobody holds.
"""

import fcntl
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_api import processes

MARKER = "ANSIBLE_API_JOB"  # in the environment of every process of a play: <job id>.<attempt>
KILL_WAIT = 10.0
_TMPFS = Path("/dev/shm")  # noqa: S108  used only where it is a tmpfs, in a directory of our own
_TMPFS_MAGIC = "tmpfs"
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_TOPDIR = 0x00020000  # FS_TOPDIR_FL


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directories of one attempt.

    The play may write `project`, `artifacts`, `home`, `tmp` and `events`; `secrets` is on tmpfs where there is one
    and has a short path, for sockets. What lies in `control` is between worker and runner: the play never sees it.
    """

    marker: str
    root: Path
    secrets: Path

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def inventory(self) -> Path:
        return self.root / "inventory"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def control(self) -> Path:
        return self.root / "control"

    @property
    def events(self) -> Path:
        return self.control / "play" / "job_events"

    def add_secret(self, name: str, text: str) -> Path:
        """A file that only this user may read, and nobody may run."""
        return write_private(self.secrets / name, text)

    def drop_secrets(self) -> None:
        """Remove every file of `add_secret`: what prepared the play is not the play's to see."""
        for path in self.secrets.iterdir():
            if path.is_file() or path.is_symlink():
                path.unlink()


def write_private(path: Path, text: str) -> Path:
    """A new file, mode 0600; never through a link, never over another file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@contextmanager
def workspace(work_dir: Path, marker: str) -> Iterator[Workspace]:
    """A fresh workspace; what an earlier holder of the same marker left is removed first."""
    work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _spread(work_dir)
    with ExitStack() as held:
        room = _create(work_dir, marker, held)
        try:
            yield room
        finally:
            _remove(room.secrets)
            _remove(room.root)


def sweep(work_dir: Path) -> list[str]:
    """Kill the processes and remove the files of dead workers' attempts; returns their markers."""
    if not work_dir.is_dir():
        return []
    swept = []
    with _creation_lock(work_dir):
        for directory in _workspaces(work_dir):
            with ExitStack() as held:
                if _hold(directory, held) and kill_marked(directory.name):
                    _remove(directory)
                    swept.append(directory.name)
        for directory in _TMPFS.glob(_prefix(work_dir) + "*"):
            with ExitStack() as held:
                if _hold(directory, held):
                    _remove(directory)
    return swept


def kill_marked(marker: str) -> bool:
    """End every process that carries the marker, and all below them; False when one could not be killed."""
    return processes.kill_until_gone(lambda: _family(marker), KILL_WAIT)


def _family(marker: str) -> list[int]:
    bearers = list(processes.marked(MARKER, marker))
    return list(dict.fromkeys([*processes.descendants(*bearers), *bearers])) if bearers else []


def _create(work_dir: Path, marker: str, held: ExitStack) -> Workspace:
    root = work_dir / marker
    # The lock keeps a sweep from taking a directory between its creation and its own lock.
    with _creation_lock(work_dir):
        _remove(root)
        root.mkdir(mode=0o700)
        _hold(root, held)
        room = Workspace(marker, root, _secrets_dir(work_dir, root))
        _hold(room.secrets, held)
    for directory in (room.inventory, room.artifacts, room.home, room.tmp, room.events):
        directory.mkdir(mode=0o700, parents=True)
    return room


def _spread(work_dir: Path) -> None:
    """Have ext4 place each workspace apart (as `chattr +T` does); other file systems do not know of this.

    ext4 does not use an inode again for minutes, and passes over every such inode whenever it makes a file near it:
    beside the remains of earlier jobs, 1,200 files took 0.2 to 0.9 s instead of 0.03 s.
    """
    handle = os.open(work_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            (flags,) = struct.unpack("i", fcntl.ioctl(handle, _GET_FLAGS, bytes(4)))
            if not flags & _TOPDIR:
                fcntl.ioctl(handle, _SET_FLAGS, struct.pack("i", flags | _TOPDIR))
    finally:
        os.close(handle)


def _secrets_dir(work_dir: Path, root: Path) -> Path:
    if _is_tmpfs(_TMPFS) and os.access(_TMPFS, os.W_OK | os.X_OK):
        return Path(tempfile.mkdtemp(prefix=_prefix(work_dir), dir=_TMPFS))  # 0700
    path = root / "secrets"
    path.mkdir(mode=0o700)
    return path


def _is_tmpfs(path: Path) -> bool:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return any(line.split()[1:3] == [str(path), _TMPFS_MAGIC] for line in lines)


def _prefix(work_dir: Path) -> str:
    """Names the tmpfs directories of this work_dir, so that workers with another one leave them alone."""
    return f"ansible-api-{hashlib.sha256(os.fsencode(work_dir.resolve())).hexdigest()[:12]}-"


def _workspaces(work_dir: Path) -> list[Path]:
    return [entry for entry in work_dir.iterdir() if not entry.name.startswith(".") and not entry.is_symlink()]


@contextmanager
def _creation_lock(work_dir: Path) -> Iterator[None]:
    handle = os.open(work_dir / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _hold(directory: Path, held: ExitStack) -> bool:
    """Lock the directory for as long as `held` is open; False when another process holds it, or it is not ours."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    held.callback(os.close, handle)
    if os.fstat(handle).st_uid != os.geteuid():
        return False
    with suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _remove(directory: Path) -> None:
    """Remove a tree although the play may have closed its own directories; links are never followed.

    What resists does not change how the attempt ended: the next sweep tries again.
    """
    if directory.is_symlink() or not directory.is_dir():
        return
    for path, names, _ in os.walk(directory):
        for child in (Path(path, name) for name in names):
            if not child.is_symlink():
                with suppress(OSError):
                    child.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)
