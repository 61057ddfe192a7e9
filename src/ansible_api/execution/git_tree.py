"""Writes the files of a commit, which may be hostile, without ever leaving the directory it is given.

Every entry is made anew relative to the open directory above it, so that nothing that the tree holds (a symlink, a
name twice, `..`) can lead elsewhere. Symlinks are written as they are, also those that point out of the repository:
whoever reads the tree later must use `source.resolve_inside`. Submodules become empty directories and are listed; there
are no filters, no LFS and no line ending conversion.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID, Tree

from ansible_api.execution.git_request import BLOCK, MOST_SUBMODULES, Refused, too_large

DEPTH = 100
SUBMODULE = 0o160000
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class TreeWriter:
    """Writes one tree and counts what it wrote: `files` entries other than directories, `size` bytes on disk.

    `submodules` are path and commit of the first of them, `modules` the blob that says where they come from.
    """

    store: BaseObjectStore
    limit: int
    files: int = 0
    size: int = 0
    submodules: list[tuple[bytes, bytes]] = field(default_factory=list)
    modules: bytes | None = None

    def write(self, tree: bytes, path: str) -> None:
        """Make `path` and write the tree into it."""
        Path(path).mkdir(mode=0o755)
        self._fill(path, None, tree, b"")

    def _fill(self, name: str | bytes, parent: int | None, tree: bytes, above: bytes) -> None:
        if above.count(b"/") > DEPTH:
            raise _hostile("directories nested too deeply")
        here = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            for entry in self._tree(tree).iteritems():
                self._entry(here, entry.path, entry.mode, entry.sha, above)
        finally:
            os.close(here)

    def _tree(self, sha: bytes) -> Tree:
        found = self.store[ObjectID(sha)]
        if not isinstance(found, Tree):
            raise _hostile("a directory that is none")
        return found

    def _entry(self, here: int, name: bytes, mode: int, sha: bytes, above: bytes) -> None:
        check_name(name)
        self._count(BLOCK)
        kind = stat.S_IFMT(mode)
        try:
            if kind == stat.S_IFREG:
                self._file(here, name, 0o755 if mode & 0o100 else 0o644, self._blob(sha))
            elif kind == stat.S_IFLNK:
                os.symlink(_link_target(self._blob(sha)), name, dir_fd=here)
                self.files += 1
            elif kind in (stat.S_IFDIR, SUBMODULE):
                os.mkdir(name, 0o755, dir_fd=here)
            else:
                raise _hostile("an entry of unknown type")
        except (FileExistsError, NotADirectoryError):
            raise _hostile("a name twice") from None
        if kind == stat.S_IFDIR:
            self._fill(name, here, sha, above + name + b"/")
        elif kind == SUBMODULE and len(self.submodules) <= MOST_SUBMODULES:
            self.submodules.append((above + name, sha))
        elif kind == stat.S_IFREG and above + name == b".gitmodules":
            self.modules = sha

    def _blob(self, sha: bytes) -> bytes:
        _, data = self.store.get_raw(ObjectID(sha))
        self._count(len(data))
        return data

    def _file(self, here: int, name: bytes, mode: int, data: bytes) -> None:
        file = os.open(name, NEW_FILE, mode, dir_fd=here)
        try:
            while data:
                data = data[os.write(file, data) :]
        finally:
            os.close(file)
        self.files += 1

    def _count(self, amount: int) -> None:
        self.size += amount
        if self.size > self.limit:
            raise too_large(self.limit)


def check_name(name: bytes) -> None:
    """Refuse the names that git refuses: those that lead elsewhere, and `.git` in any guise of another file system."""
    plain = name.decode("utf-8", "ignore").translate(_IGNORED_BY_HFS).rstrip(" .").lower()
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name or len(name) > 255:
        raise _hostile("an impossible file name")
    if plain in (".git", "git~1") or plain.startswith(".git:"):
        raise _hostile("a file named like .git")


# Code points that HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char).
_IGNORED_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def _link_target(target: bytes) -> bytes:
    if not target or b"\0" in target or len(target) > 4095:
        raise _hostile("an impossible symlink")
    return target


def _hostile(what: str) -> Refused:
    return Refused("source_invalid", f"The repository holds {what}: git itself would not check it out.")
