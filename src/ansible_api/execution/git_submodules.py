"""What `.gitmodules` says of the submodules of a tree; nothing but their addresses is taken from it."""

from collections.abc import Iterator
from io import BytesIO
from os import fsdecode

from dulwich.config import ConfigFile, parse_submodules
from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID

from ansible_api.execution.git_tree import TreeWriter

MOST_BYTES = 1 << 20


def submodules(store: BaseObjectStore, tree: TreeWriter) -> tuple[tuple[str, str, str], ...]:
    """Path, address (empty when it is not said) and commit of the submodules that were found while writing."""
    if not tree.submodules:
        return ()
    urls = dict(_addresses(store.get_raw(ObjectID(tree.modules))[1] if tree.modules else b""))
    return tuple((fsdecode(path), urls.get(path, ""), commit.decode()) for path, commit in tree.submodules)


def _addresses(text: bytes) -> Iterator[tuple[bytes, str]]:
    if len(text) > MOST_BYTES:
        return
    try:
        # Includes would read files of the worker.
        said = list(parse_submodules(ConfigFile.from_file(BytesIO(text), expand_includes=False)))
    except ValueError:
        return
    for path, url, name in said:
        # As git does, which takes the name for a directory and the address for an argument.
        if name and b".." not in name.replace(b"\\", b"/").split(b"/") and not url.startswith(b"-"):
            yield path, url.decode("utf-8", "replace")
