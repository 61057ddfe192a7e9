"""A mirror holds commits without their history, and is still brought up to date from whatever it holds."""

import os

import pytest

from ansible_api.execution.git_cache import MOST_PACKS, disk_use
from ansible_api.execution.source import Checkout
from tests.integration.git.workers import LOGIN, MIB, Worker
from tests.servers.git_histories import COMMITS, repository_with_history
from tests.servers.git_servers import GitRepository


@pytest.mark.parametrize("by_path", [False, True])
def test_a_long_history_is_not_fetched(worker, https, tmp_path, by_path):
    repository = repository_with_history(tmp_path / "served" / "history")
    assert repository.git("rev-list", "--count", "main") == str(COMMITS)
    repo = str(repository.path) if by_path else https.url(repository.path)
    done, files = worker.checkout(repo, "main", None if by_path else LOGIN)
    assert done.commit == repository.git("rev-parse", "main")
    assert sum(1 for path in files.rglob("*.yml")) == 1201
    (mirror,) = worker.cache.glob("repos/*/mirror")
    assert (mirror / "shallow").read_text().split() == [done.commit]
    assert disk_use(mirror) < 2 * MIB


class TestUpToDate:
    def test_what_the_mirror_has_is_not_sent_again(self, worker, repository, https):
        repository.commit({"large": os.urandom(MIB).hex()})
        worker.checkout(https.url(repository.path), "main", LOGIN)
        sent: list[int] = []

        def measure(request: object, data: bytes) -> bytes:
            sent.append(len(data))
            return data

        https.tamper = measure
        repository.commit({"site.yml": "moved\n"})
        assert worker.checkout(https.url(repository.path), "main", LOGIN)[0].cache == "miss"
        assert sum(sent) < MIB // 10

    def test_a_branch_that_is_set_back_is_followed(self, worker, repository, address):
        first = repository.git("rev-parse", "HEAD")
        repository.commit({"roles/web/tasks/main.yml": "changed\n", "site.yml": "changed\n"})
        worker.checkout(address[0], "main", address[1])
        repository.git("reset", "--quiet", "--hard", first)
        done, files = worker.checkout(address[0], "main", address[1])
        assert done.commit == first
        assert (files / "roles/web/tasks/main.yml").read_text() == "[]\n"

    def test_a_commit_that_brings_back_what_only_its_history_had_is_whole(self, worker, repository, address):
        repository.commit({"old": "only in history\n"})
        (repository.path / "old").unlink()
        repository.commit({"site.yml": "without\n"})
        worker.checkout(address[0], "main", address[1])
        repository.commit({"old": "only in history\n"})
        _, files = worker.checkout(address[0], "main", address[1])
        assert (files / "old").read_text() == "only in history\n"

    def test_an_older_commit_comes_after_a_newer_one(self, worker, repository, address):
        commits = [repository.commit({"site.yml": f"{number}\n"}) for number in range(4)]
        for number in (3, 0, 2, 1):
            done, files = worker.checkout(address[0], commits[number], address[1])
            assert done == Checkout(commits[number], done.cache)
            assert (files / "site.yml").read_text() == f"{number}\n"

    def test_what_git_itself_thinks_of_the_mirror(self, worker, repository, https):
        for number in range(3):
            repository.commit({"site.yml": f"{number}\n"})
            worker.checkout(https.url(repository.path), "main", LOGIN)
        (mirror,) = worker.cache.glob("repos/*/mirror")
        assert GitRepository(mirror).git("fsck", "--full", "--strict", "--no-dangling") == ""


def test_a_mirror_of_very_many_fetches_is_begun_anew(worker: Worker, repository: GitRepository):
    worker.checkout(repository, "main")
    (mirror,) = worker.cache.glob("repos/*/mirror")
    (pack,) = mirror.glob("objects/pack/*.pack")
    for number in range(MOST_PACKS):
        os.link(pack, pack.with_name(f"pack-{number:040x}.pack"))
        os.link(pack.with_suffix(".idx"), pack.with_name(f"pack-{number:040x}.idx"))
    repository.commit({"site.yml": "moved\n"})
    _, files = worker.checkout(repository, "main")
    assert (files / "site.yml").read_text() == "moved\n"
    assert len(list(mirror.glob("objects/pack/*.pack"))) == 1
