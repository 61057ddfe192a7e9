"""What reading from a git server has in common, over https and over ssh."""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from dulwich.client import GitClient
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from ansible_api.execution.git_request import Refused, too_large

EVERYTHING = (b"HEAD", b"refs/heads/", b"refs/tags/")
ALL_HISTORY = 0x7FFFFFFF  # as git's --unshallow has it
DISK_ERRORS = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT)


class _NotByItself(Exception):
    """The server does not give that object when it is asked for nothing else."""


class ServerRemote:
    """A repository behind a git server; `explain` tells what an error of the exchange means."""

    def __init__(self, client: GitClient, path: bytes, explain: Callable[[Exception], Refused]) -> None:
        self._client, self._path, self._explain = client, path, explain

    def find(self, names: Sequence[bytes]) -> tuple[bytes, bytes] | None:
        with self._explaining():
            refs = self._client.get_refs(self._path, ref_prefix=list(names)).refs
        for name in names:
            if found := refs.get(Ref(name)):
                return found, refs.get(Ref(name + b"^{}")) or found
        return None

    def fetch(self, mirror: Repo, want: bytes, names: Sequence[bytes]) -> None:
        def alone(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            # Protocols 0 and 1 give only what a ref points at.
            if self._client.protocol_version != 2 and want not in refs.values():
                raise _NotByItself
            return [ObjectID(want)]

        def all_refs(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            return [wanted for wanted in dict.fromkeys(refs.values()) if wanted not in mirror.object_store]

        with self._explaining():
            try:
                self._client.fetch(self._path, mirror, determine_wants=alone, ref_prefix=names, depth=1)
            except _NotByItself:
                # An older commit comes with its branch, and with it the history that earlier fetches left out.
                self._client.fetch(
                    self._path, mirror, determine_wants=all_refs, ref_prefix=[*names, *EVERYTHING], depth=ALL_HISTORY
                )

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (GitProtocolError, NotGitRepository, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise
            raise self._explain(error) from None


def refuses_commit(said: str) -> bool:
    """Whether a server said that it has no such commit; dulwich reads past the sentence."""
    return "not our ref" in said


def no_such_commit() -> Refused:
    """The answer to a commit that the server does not have."""
    return Refused("source_ref_not_found", "The repository does not have that commit: correct branch.")


def unreachable(host: str) -> Refused:
    """The answer to whatever may be better on the next attempt."""
    detail = f"The git server {host} could not be reached: check repo, or submit again later."
    return Refused("source_unreachable", detail, transient=True)


def meter(limit: int) -> Callable[[int], None]:
    """Counts what comes in and stops it at the limit, as a server may send without end."""
    total = 0

    def count(amount: int) -> None:
        nonlocal total
        total += amount
        if total > limit:
            raise too_large(limit)

    return count
