"""What a play leaves for its caller: the data of `set_stats`, and the files in `$ANSIBLE_API_ARTIFACTS`.

The play is over when they are read, but what it left is a stranger's: links are not followed, nothing but regular files
is opened, and number and sizes are bounded.
"""

import json
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ansible_api.execution.mask import Mask

MIB = 1024 * 1024
DATA_LIMIT = 64 * 1024  # characters of JSON
LONGEST_NAME = 200  # characters of a path below the directory
DEEPEST = 8
MOST_LEFT_OUT = 100  # that are named
MOST_FILES = 10_000  # that are looked at
OTHERS = "…"  # as the name of those that are not named


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """How much is kept of a play's files: their number, bytes of each, bytes of all."""

    files: int = 100
    size: int = 32 * MIB
    total: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file, with secrets masked; `name` is its path below the directory."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not kept, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is not read yet."""

    name: str
    size: int
    read: Callable[[], Artifact | LeftOut]


Found = Artifact | LeftOut


@dataclass(frozen=True, slots=True)
class Artifacts:
    """All that a play left; `files` reads one after the other."""

    data: Mapping[str, Any]
    files: Callable[[], Iterator[Found]]


def artifacts(directory: Path, data: Mapping[str, Any], mask: Mask, limits: ArtifactLimits) -> Artifacts:
    """What the play has left; `data` is that of set_stats, masked already."""
    small = len(json.dumps(data, ensure_ascii=False)) <= DATA_LIMIT
    return Artifacts(data if small else {"truncated": True}, lambda: _within(_files(directory, mask, limits), limits))


def _within(found: Iterator[_File | LeftOut], limits: ArtifactLimits) -> Iterator[Found]:
    """No more than the limits allow, in all; nothing beyond them is read."""
    files = total = left_out = 0
    for one in islice(found, MOST_FILES):
        read = _read(one, limits, files, total) if isinstance(one, _File) else one
        if isinstance(read, Artifact):
            files, total = files + 1, total + len(read.content)
            yield read
        elif (left_out := left_out + 1) <= MOST_LEFT_OUT:
            yield read
    if left_out > MOST_LEFT_OUT:
        yield LeftOut(OTHERS, f"{left_out - MOST_LEFT_OUT} more, which are not named")
    if next(found, None):
        yield LeftOut(OTHERS, f"no more than {MOST_FILES} files are looked at")


def _read(file: _File, limits: ArtifactLimits, files: int, total: int) -> Found:
    if files == limits.files:
        return LeftOut(file.name, f"there are more than {limits.files} files")
    if file.size > limits.size:
        return LeftOut(file.name, f"it has more than {limits.size} bytes")
    if total + file.size > limits.total:
        return LeftOut(file.name, f"the files together have more than {limits.total} bytes")
    try:
        return file.read()
    except OSError as error:
        return LeftOut(file.name, f"it cannot be read: {error.strerror}")


def _files(directory: Path, mask: Mask, limits: ArtifactLimits) -> Iterator[_File | LeftOut]:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield from _below(handle, "", mask, limits)
    finally:
        os.close(handle)


def _below(handle: int, prefix: str, mask: Mask, limits: ArtifactLimits) -> Iterator[_File | LeftOut]:
    for entry in sorted(os.listdir(handle)):
        name = prefix + entry
        shown = mask.text(name.encode(errors="replace").decode())
        if trouble := _trouble_of_name(name):
            yield LeftOut(_printable(shown)[:LONGEST_NAME], trouble)
            continue
        try:
            found = os.stat(entry, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                yield from _directory(handle, entry, name, mask, limits)
            elif stat.S_ISREG(found.st_mode):
                yield _File(shown, found.st_size, partial(_file, handle, entry, shown, mask, limits))
            else:
                yield LeftOut(shown, "it is not a regular file")
        except OSError as error:
            yield LeftOut(shown, f"it cannot be read: {error.strerror}")


def _directory(parent: int, entry: str, name: str, mask: Mask, limits: ArtifactLimits) -> Iterator[_File | LeftOut]:
    if name.count("/") >= DEEPEST:
        yield LeftOut(mask.text(name), f"it lies more than {DEEPEST} directories deep")
        return
    handle = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield from _below(handle, f"{name}/", mask, limits)
    finally:
        os.close(handle)


def _file(parent: int, entry: str, shown: str, mask: Mask, limits: ArtifactLimits) -> Found:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(entry, flags, dir_fd=parent), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return LeftOut(shown, "it is not a regular file")
        content = file.read(limits.size + 1)
    if len(content) > limits.size:
        return LeftOut(shown, f"it has more than {limits.size} bytes")
    return Artifact(shown, _masked(content, mask))


def _masked(content: bytes, mask: Mask) -> bytes:
    """Whatever the file is, every byte that is no secret stays as it is."""
    if not mask:
        return content
    text = content.decode("utf-8", "surrogateescape")
    return mask.text(text).encode("utf-8", "surrogateescape") if mask.finds(text) else content


def _trouble_of_name(name: str) -> str | None:
    if len(name) > LONGEST_NAME:
        return f"its name has more than {LONGEST_NAME} characters"
    if "\\" in name or any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        return "its name has a character that is not allowed"
    return None


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in name)
