"""The repository that the git subprocess reads from, wherever it lies."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from urllib.parse import unquote

from dulwich.errors import NotGitRepository
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from ansible_api.execution.git_http import http_remote
from ansible_api.execution.git_request import Refused, Request
from ansible_api.execution.git_ssh import ssh_remote
from ansible_api.git_address import parse


class Remote(Protocol):
    """A repository to read from."""

    def find(self, names: Sequence[bytes]) -> tuple[bytes, bytes] | None:
        """The first of the names that exists: its object, and the object behind it if that is a tag."""

    def fetch(self, mirror: Repo, want: bytes, names: Sequence[bytes]) -> None:
        """Copy `want` into the mirror, with as little history as may be."""


class LocalRemote:
    """A repository in this machine's file system."""

    def __init__(self, path: str) -> None:
        try:
            self._repo = Repo(path)
        except (NotGitRepository, OSError):
            raise Refused("source_invalid", f"{path} is not a git repository: correct repo.") from None

    def find(self, names: Sequence[bytes]) -> tuple[bytes, bytes] | None:
        for name in map(Ref, names):
            with suppress(KeyError):
                return self._repo.refs[name], self._repo.get_peeled(name)
        return None

    def fetch(self, mirror: Repo, want: bytes, names: Sequence[bytes]) -> None:
        if ObjectID(want) in self._repo.object_store:
            self._repo.fetch(mirror, determine_wants=lambda _refs, _depth: [ObjectID(want)], depth=1)


def open_remote(request: Request) -> Remote:
    """The repository of the request; the caller has decided that its scheme is allowed."""
    address = parse(request.repo)
    scheme = address.scheme
    if scheme == "file":
        return LocalRemote(unquote(address.path) if "://" in request.repo else address.path)
    if scheme in ("https", "http"):
        return http_remote(request)
    if scheme == "ssh":
        return ssh_remote(request)
    raise Refused("source_invalid", f"{scheme}:// is no address of a repository: use https:// or ssh://.")
