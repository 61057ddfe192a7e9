"""The git subprocess: resolves and then perhaps fetches, within its limits; a line of JSON for a line of JSON.

It is a process of its own because it parses what strangers serve: a memory or time limit, a crash or a kill ends it
and nothing else. All imports are here at the top, where the fork server does them once for all jobs.
"""

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha1

from dulwich.objects import Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from ansible_api.execution.git_limits import limit_self
from ansible_api.execution.git_mirror import open_mirror
from ansible_api.execution.git_remote import Remote, open_remote
from ansible_api.execution.git_request import Answer, Refused, Request
from ansible_api.execution.git_submodules import submodules
from ansible_api.execution.git_tree import TreeWriter


def converse(worker: socket.socket) -> None:
    """Serve the worker's requests, all about one repository, until it has no more."""
    server = Server()
    with worker.makefile("rb") as lines:
        for line in lines:
            request = Request.from_json(line)
            os.environ.clear()
            os.environ.update(request.environment)
            os.chdir(request.environment["HOME"])
            limit_self(request)
            worker.sendall(serve(server, request).to_json())


class Server:
    """The repository's server, spoken to over one connection where it keeps that open."""

    def __init__(self) -> None:
        self._remote: Remote | None = None

    def remote(self, request: Request) -> Remote:
        if self._remote is None:
            self._remote = open_remote(request)
        return self._remote


def serve(server: Server, request: Request) -> Answer:
    """Do what is asked; whatever goes wrong is an answer too."""
    try:
        return resolve(server, request) if request.command == "resolve" else fetch(server, request)
    except Refused as error:
        return Answer(error=error.code, detail=error.detail, transient=error.transient)
    except MemoryError:
        detail = "The repository needs more memory than the service gives to one fetch: make it smaller."
        return Answer(error="source_too_large", detail=detail)
    except OSError as error:
        return _disk_trouble(error)
    except Exception as error:  # noqa: BLE001 - dulwich has no common base for what damaged data makes it raise
        detail = f"The repository cannot be read ({type(error).__name__}): check that it is sound with `git fsck`."
        return Answer(error="source_invalid", detail=detail, damaged=True)


def resolve(server: Server, request: Request) -> Answer:
    """The commit that the ref names now; reads nothing but the refs."""
    found = server.remote(request).find(ref_names(request.ref))
    if found is None:
        raise _unknown(request.ref)
    want, commit = found
    return Answer(want=want.decode(), commit=commit.decode())


def fetch(server: Server, request: Request) -> Answer:
    """Get the commit into the mirror, unless it is there, and write its files to `tree`."""
    with closing(open_mirror(request.mirror)) as mirror:
        wanted = ObjectID(request.commit.encode())
        fetched = wanted not in mirror.object_store
        if fetched:
            _fetch_into(mirror, server, request)
        if wanted not in mirror.object_store:
            raise _unknown(request.ref)
        commit = mirror.object_store[wanted]
        if not isinstance(commit, Commit):
            raise Refused("source_ref_not_found", f"{request.ref} does not name a commit: correct branch.")
        writer = TreeWriter(mirror.object_store, request.size)
        writer.write(commit.tree, request.tree)
        found = submodules(mirror.object_store, writer)
    return Answer(commit=request.commit, fetched=fetched, files=writer.files, size=writer.size, submodules=found)


def ref_names(ref: str | None) -> Sequence[bytes]:
    """The full names that a ref may mean, a branch before a tag as `git clone --branch` has it."""
    if ref is None:
        return (b"HEAD",)
    name = ref.encode()
    names = (b"refs/heads/" + name, b"refs/tags/" + name)
    return (name, *names) if name.startswith(b"refs/") else names


def _fetch_into(mirror: Repo, server: Server, request: Request) -> None:
    server.remote(request).fetch(mirror, request.want.encode(), ref_names(request.ref))
    # What the mirror's refs point at is what the next fetch need not get again.
    name = sha1((request.ref or "HEAD").encode(), usedforsecurity=False).hexdigest()
    if ObjectID(request.commit.encode()) in mirror.object_store:
        mirror.refs[Ref(b"refs/heads/" + name.encode())] = ObjectID(request.commit.encode())


def _unknown(ref: str | None) -> Refused:
    if ref is None:
        return Refused("source_ref_not_found", "The repository has no default branch: name one in branch.")
    return Refused(
        "source_ref_not_found", f"There is no branch, tag or commit {ref} in the repository: correct branch."
    )


def _disk_trouble(error: OSError) -> Answer:
    if error.errno == errno.EFBIG:
        return Answer(error="source_too_large", detail="The repository is larger than the service takes.")
    detail = f"The worker could not store the repository ({error.strerror}): free space in its state directory."
    return Answer(error="source_not_stored", detail=detail, transient=True)
