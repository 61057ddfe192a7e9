"""Repositories and servers that mean harm: each is an error in bounded time, memory and disk."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ansible_api.errors import JobError
from ansible_api.execution.git_cache import disk_use
from tests.integration.git.workers import LIMITS, LOGIN, MIB, Worker
from tests.servers.git_servers import GitRepository, GitRequest, HttpsGitServer

SIDE_BAND, PACK_OF_MANY = b"\x01", b"PACK" + (2).to_bytes(4) + (2**31).to_bytes(4)


def packet(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data


def endless_pack(request: GitRequest) -> Iterator[bytes] | None:
    """A blob that is never whole."""
    if not request.fetches:
        return None
    blob = b"\xbf" + b"\xff" * 6 + b"\x7f"  # its type, and a size of many digits
    stored = b"\x00" + (60000).to_bytes(2, "little") + (60000 ^ 0xFFFF).to_bytes(2, "little") + bytes(60000)
    start = [packet(b"packfile\n"), packet(SIDE_BAND + PACK_OF_MANY + blob + b"\x78\x01")]
    return itertools.chain(start, itertools.repeat(packet(SIDE_BAND + stored)))


def endless_refs(request: GitRequest) -> Iterator[bytes] | None:
    """Branches without end."""
    if b"command=ls-refs" not in request.body:
        return None
    return (packet(f"{number:040x} refs/heads/b{number}\n".encode()) for number in itertools.count(1))


def refused(worker: Worker, repo: str | GitRepository, ref: str = "main") -> str:
    with pytest.raises(JobError) as caught:
        worker.checkout(repo, ref, LOGIN if isinstance(repo, str) else None)
    assert not caught.value.retryable
    return caught.value.job_code


@pytest.mark.parametrize("stream", [endless_pack, endless_refs])
def test_a_server_that_sends_without_end_is_cut_off_at_the_size_limit(worker, repository, https, stream):
    https.stream = stream
    worker.limits = replace(LIMITS, size=4 * MIB)
    assert refused(worker, https.url(repository.path)) == "source_too_large"
    assert disk_use(worker.cache) < 6 * MIB


def test_a_pack_over_the_size_limit_is_refused_before_it_is_stored(worker, repository, https):
    repository.commit({f"large{number}": os.urandom(MIB).hex() for number in range(4)})
    worker.limits = replace(LIMITS, size=2 * MIB)
    assert refused(worker, https.url(repository.path)) == "source_too_large"
    assert disk_use(worker.cache) < 4 * MIB


class TestBombs:
    def test_a_small_pack_of_a_huge_file_is_held_to_the_size_limit(self, worker, repository, https):
        self.commit_zeros(repository, 128 * MIB)
        assert refused(worker, https.url(repository.path)) == "source_too_large"
        assert disk_use(worker.cache) < 4 * MIB

    def test_a_small_pack_of_a_file_beyond_the_memory_limit_is_held_to_that(self, worker, repository, https):
        self.commit_zeros(repository, 400 * MIB)
        worker.limits = replace(LIMITS, size=4096 * MIB, memory=300 * MIB)
        assert refused(worker, https.url(repository.path)) == "source_too_large"
        assert disk_use(worker.cache) < 4 * MIB

    def test_a_tree_that_unfolds_to_billions_of_files_is_held_to_the_size_limit(self, worker, repository, https):
        blob = repository.git("hash-object", "-w", "--stdin", stdin=b"")
        tree = repository.git("mktree", stdin=f"100644 blob {blob}\tfile\n".encode())
        for _ in range(10):
            tree = repository.git("mktree", stdin="".join(f"040000 tree {tree}\t{n}\n" for n in range(10)).encode())
        repository.git("update-ref", "refs/heads/main", repository.git("commit-tree", tree, "-m", "bomb"))
        worker.limits = replace(LIMITS, size=4 * MIB)
        assert refused(worker, https.url(repository.path)) == "source_too_large"
        assert sum(1 for _ in worker.cache.rglob("*")) < 200

    def commit_zeros(self, repository: GitRepository, size: int) -> None:
        with (repository.path / "bomb").open("wb") as bomb:
            bomb.truncate(size)
        repository.git("-c", "core.compression=1", "-c", "core.bigFileThreshold=1", "add", "bomb")
        repository.git("commit", "--quiet", "-m", "bomb")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_pack_that_arrives_damaged_is_an_error_and_nothing_of_it_is_used(worker, repository, https, share):
    def damaged(request: GitRequest, data: bytes) -> bytes:
        place = int(len(data) * share)
        return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :] if request.fetches else data

    repository.commit({"noise": os.urandom(4096).hex()})
    https.tamper = damaged
    assert refused(worker, https.url(repository.path)) == "source_invalid"
    https.tamper = lambda _request, data: data
    _, files = worker.checkout(https.url(repository.path), "main", LOGIN)
    assert (files / "site.yml").read_text() == "- hosts: all\n"


def test_a_pack_that_is_cut_off_is_an_error(worker: Worker, repository: GitRepository, https: HttpsGitServer):
    https.tamper = lambda request, data: data[: len(data) // 2] if request.fetches else data
    assert refused(worker, https.url(repository.path)) == "source_invalid"
