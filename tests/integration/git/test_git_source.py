"""Sources from real git servers: what is checked out, what is refused, and what never happens."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from ansible_api.credentials.secrets import GitLogin, SshKey
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.source import Checkout
from ansible_api.processes import descendants
from ansible_api.settings import HostKeyPolicy
from tests.integration.git.workers import LIMITS, LOGIN, MIB, Worker, is_alive, processes_with
from tests.servers.git_servers import (
    USERNAME,
    GitRepository,
    GitRequest,
    git_repository,
    https_git_server,
    known_hosts_line,
    new_ssh_key,
)
from tests.waiting import wait_for


class TestEveryKindOfServer:
    def test_the_default_branch_is_checked_out_when_no_ref_is_given(self, worker, repository, address):
        done, files = worker.checkout(address[0], None, address[1])
        assert done == Checkout(repository.git("rev-parse", "HEAD"), "miss")
        assert (files / "roles/web/tasks/main.yml").read_text() == "[]\n"

    def test_a_branch_a_tag_an_annotated_tag_and_a_commit_give_their_commit(self, worker, repository, address):
        first = repository.git("rev-parse", "HEAD")
        repository.git("tag", "light")
        repository.git("tag", "--annotate", "-m", "release", "v1.0")
        second = repository.commit({"site.yml": "changed\n"})
        repository.git("branch", "feature/x")
        third = repository.commit({"site.yml": "changed again\n"})
        for ref, commit in {"feature/x": second, "light": first, "v1.0": first, first: first, "main": third}.items():
            done, files = worker.checkout(address[0], ref, address[1])
            assert done.commit == commit
            assert (files / "site.yml").read_text() == repository.git("show", f"{commit}:site.yml") + "\n"

    def test_an_older_commit_is_had_from_a_cold_cache(self, worker, repository, address):
        first = repository.git("rev-parse", "HEAD")
        repository.commit({"site.yml": "changed\n"})
        assert worker.checkout(address[0], first, address[1])[0] == Checkout(first, "miss")

    def test_what_has_not_moved_is_not_fetched_again(self, worker, address):
        assert worker.checkout(address[0], "main", address[1])[0].cache == "miss"
        assert worker.checkout(address[0], "main", address[1])[0].cache == "hit"

    def test_a_branch_that_moved_is_fetched_again(self, worker, repository, address):
        worker.checkout(address[0], "main", address[1])
        moved = repository.commit({"site.yml": "moved\n"})
        done, files = worker.checkout(address[0], "main", address[1])
        assert done == Checkout(moved, "miss")
        assert (files / "site.yml").read_text() == "moved\n"

    def test_a_branch_that_was_rewritten_is_fetched_again(self, worker, repository, address):
        worker.checkout(address[0], "main", address[1])
        repository.git("commit", "--quiet", "--amend", "-m", "rewritten")
        assert worker.checkout(address[0], "main", address[1])[0].commit == repository.git("rev-parse", "HEAD")

    @pytest.mark.parametrize("ref", ["nowhere", "0123456789" * 4])
    def test_an_unknown_ref_is_an_error_that_names_the_remedy(self, worker, address, ref):
        with pytest.raises(JobError, match="correct branch") as caught:
            worker.checkout(address[0], ref, address[1])
        assert (caught.value.job_code, caught.value.retryable) == ("source_ref_not_found", False)

    def test_a_repository_without_commits_has_no_default_branch(self, worker, repository, address):
        repository.git("update-ref", "-d", "refs/heads/main")
        with pytest.raises(JobError, match="name one in branch") as caught:
            worker.checkout(address[0], None, address[1])
        assert caught.value.job_code == "source_ref_not_found"

    def test_a_missing_repository_is_an_error(self, worker, address):
        with pytest.raises(JobError, match="repo") as caught:
            worker.checkout(address[0].replace("project", "absent"), None, address[1])
        assert caught.value.job_code in ("source_refused", "source_invalid")
        assert not caught.value.retryable

    def test_a_repository_over_the_size_limit_is_refused(self, worker, repository, address):
        repository.commit({"large": os.urandom(MIB).hex()})
        worker.limits = replace(LIMITS, size=MIB)
        with pytest.raises(JobError) as caught:
            worker.checkout(address[0], "main", address[1])
        assert (caught.value.job_code, caught.value.retryable) == ("source_too_large", False)


class TestSsh:
    def test_a_key_that_the_server_does_not_know_is_refused(self, worker, repository, ssh):
        key = SshKey(SecretStr(ssh.stranger_key), known_hosts=ssh.known_hosts)
        with pytest.raises(JobError, match="git_credential") as caught:
            worker.checkout(ssh.url(repository.path), "main", key)
        assert (caught.value.job_code, caught.value.retryable) == ("source_refused", False)
        assert "PRIVATE KEY" not in str(caught.value)

    def test_no_key_of_the_worker_is_offered(self, worker, repository, ssh):
        worker.limits = replace(LIMITS, host_keys=HostKeyPolicy.ACCEPT_NEW)
        with pytest.raises(JobError) as caught:
            worker.checkout(ssh.url(repository.path), "main")
        assert caught.value.job_code == "source_refused"

    def test_another_host_key_than_the_credential_says_is_an_error(self, worker, repository, ssh, tmp_path):
        new_ssh_key(tmp_path / "other")
        key = SshKey(SecretStr(ssh.private_key), known_hosts=known_hosts_line(ssh.port, tmp_path / "other.pub"))
        worker.limits = replace(LIMITS, host_keys=HostKeyPolicy.ACCEPT_NEW)
        with pytest.raises(JobError, match="known_hosts") as caught:
            worker.checkout(ssh.url(repository.path), "main", key)
        assert (caught.value.job_code, caught.value.retryable) == ("source_host_key", False)

    def test_an_unknown_host_key_is_an_error_when_checking_is_strict(self, worker, repository, ssh):
        with pytest.raises(JobError) as caught:
            worker.checkout(ssh.url(repository.path), "main", SshKey(SecretStr(ssh.private_key)))
        assert caught.value.job_code == "source_host_key"

    def test_an_unknown_host_key_is_trusted_on_first_use_when_so_set_and_then_remembered(
        self, worker, repository, ssh, tmp_path
    ):
        worker.limits = replace(LIMITS, host_keys=HostKeyPolicy.ACCEPT_NEW)
        key = SshKey(SecretStr(ssh.private_key))
        assert worker.checkout(ssh.url(repository.path), "main", key)[0].cache == "miss"
        (remembered,) = (worker.cache / "known_hosts").iterdir()
        assert remembered.read_text().split()[2] == ssh.known_hosts.split()[2]
        new_ssh_key(tmp_path / "other")
        remembered.write_text(known_hosts_line(ssh.port, tmp_path / "other.pub"))
        with pytest.raises(JobError) as caught:
            worker.checkout(ssh.url(repository.path), "main", key)
        assert caught.value.job_code == "source_host_key"

    def test_a_closed_port_is_worth_another_attempt(self, worker, closed_port, ssh_login):
        with pytest.raises(TransientJobError) as caught:
            worker.checkout(f"ssh://git@127.0.0.1:{closed_port}/project", "main", ssh_login)
        assert caught.value.job_code == "source_unreachable"

    def test_no_secret_is_left_on_disk(self, worker, repository, ssh, ssh_login):
        worker.checkout(ssh.url(repository.path), "main", ssh_login)
        assert list(worker.secrets.iterdir()) == []
        kept = [path for path in worker.cache.rglob("*") if path.is_file() and not path.is_symlink()]
        assert kept
        assert not [path for path in kept if b"PRIVATE KEY" in path.read_bytes()]

    def test_a_cancel_leaves_no_ssh_behind(self, worker, silent_port, ssh_login):
        def running() -> list[int]:
            return processes_with(f"-p\0{silent_port}\0")

        with pytest.raises(JobError) as caught:
            worker.checkout(f"ssh://git@127.0.0.1:{silent_port}/x", "main", ssh_login, keep_going=lambda: not running())
        assert caught.value.job_code == "canceled"
        wait_for(lambda: not running(), message="ssh did not end")


class TestHttps:
    def test_a_wrong_token_is_refused(self, worker, repository, https):
        with pytest.raises(JobError, match="git_credential") as caught:
            worker.checkout(https.url(repository.path), "main", GitLogin(USERNAME, SecretStr("wrong-token")))
        assert (caught.value.job_code, caught.value.retryable) == ("source_refused", False)
        assert "wrong-token" not in str(caught.value)

    def test_a_private_mirror_is_not_served_to_another_credential(self, worker, repository, https):
        commit = worker.checkout(https.url(repository.path), "main", LOGIN)[0].commit
        for stranger in (None, GitLogin(USERNAME, SecretStr("wrong-token"))):
            with pytest.raises(JobError) as caught:
                worker.checkout(https.url(repository.path), commit, stranger)
            assert caught.value.job_code == "source_refused"

    def test_a_full_commit_in_the_cache_needs_no_server(self, worker, repository, https):
        commit = worker.checkout(https.url(repository.path), "main", LOGIN)[0].commit
        https.requests.clear()
        assert worker.checkout(https.url(repository.path), commit, LOGIN)[0] == Checkout(commit, "hit")
        assert https.requests == []

    def test_an_unmoved_branch_asks_for_refs_only(self, worker, repository, https):
        worker.checkout(https.url(repository.path), "main", LOGIN)
        worker.checkout(https.url(repository.path), "main", LOGIN)
        assert https.fetches == 1

    def test_a_certificate_that_nobody_vouches_for_is_an_error(self, worker, repository, https, monkeypatch):
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(JobError, match="not trusted") as caught:
            worker.checkout(https.url(repository.path), "main", LOGIN)
        assert (caught.value.job_code, caught.value.retryable) == ("source_host_key", False)
        assert https.requests == []

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_trouble_of_the_server_is_worth_another_attempt(self, worker, repository, https, status):
        https.answer = lambda _request: (status, {})
        with pytest.raises(TransientJobError) as caught:
            worker.checkout(https.url(repository.path), "main", LOGIN)
        assert caught.value.job_code == "source_unreachable"

    def test_a_redirect_to_another_host_is_not_followed(self, worker, repository, https, tmp_path):
        (tmp_path / "second").mkdir()
        with https_git_server(tmp_path / "second", https.root) as other:
            location = f"https://127.0.0.1:{other.port}"
            https.answer = lambda request: (302, {"Location": location + request.path})
            with pytest.raises(JobError, match="another host") as caught:
                worker.checkout(https.url(repository.path), "main", LOGIN)
            assert caught.value.job_code == "source_refused"
            assert other.requests == []

    def test_a_redirect_on_the_same_host_is_followed(self, worker, repository, https):
        def moved(request: GitRequest) -> tuple[int, dict[str, str]] | None:
            old = request.path.startswith("/old/")
            return (301, {"Location": request.path.replace("/old/", "/", 1)}) if old else None

        https.answer = moved
        address = https.url(repository.path).replace("/project", "/old/project")
        assert worker.checkout(address, "main", LOGIN)[0].cache == "miss"

    def test_a_redirect_without_end_is_given_up(self, worker, repository, https):
        https.answer = lambda request: (302, {"Location": request.path})
        with pytest.raises(JobError) as caught:
            worker.checkout(https.url(repository.path), "main", LOGIN)
        assert caught.value.job_code == "source_invalid"
        assert len(https.requests) < 10

    def test_a_web_page_is_no_repository(self, worker, repository, https):
        https.answer = lambda _request: (200, {"Content-Type": "text/html"})
        with pytest.raises(JobError, match="no git repository") as caught:
            worker.checkout(https.url(repository.path), "main", LOGIN)
        assert caught.value.job_code == "source_invalid"

    def test_a_closed_port_is_worth_another_attempt(self, worker, closed_port):
        with pytest.raises(TransientJobError) as caught:
            worker.checkout(f"https://127.0.0.1:{closed_port}/x", "main")
        assert caught.value.job_code == "source_unreachable"

    def test_a_server_that_never_answers_is_given_up_in_time(self, worker, silent_port):
        worker.limits = replace(LIMITS, timeout=0.5)
        with pytest.raises(TransientJobError) as caught:
            worker.checkout(f"https://127.0.0.1:{silent_port}/x", "main")
        assert caught.value.job_code == "source_unreachable"

    def test_an_ssh_key_for_an_https_address_is_refused_before_anything_is_sent(self, worker, repository, https):
        with pytest.raises(JobError, match="is an SSH key"):
            worker.checkout(https.url(repository.path), "main", SshKey(SecretStr("key")))
        assert https.requests == []

    def test_a_token_is_never_sent_in_clear(self, worker, silent_port):
        with pytest.raises(JobError, match="https only"):
            worker.checkout(f"http://127.0.0.1:{silent_port}/x", "main", LOGIN)


class TestManyWorkers:
    def test_twelve_processes_on_a_cold_repository_fetch_it_once(self, worker, repository, https):
        jobs = [worker.start(https.url(repository.path)) for _ in range(12)]
        outcomes = [job.communicate(timeout=120) for job in jobs]
        assert sorted(output for output, _ in outcomes) == ["hit\n"] * 11 + ["miss\n"], outcomes
        assert https.fetches == 1
        assert all((worker.home / f"job{number}" / "site.yml").exists() for number in range(1, 13))

    def test_a_job_that_waits_for_the_fetch_of_another_can_be_canceled(self, worker, repository, https):
        https.hold_next_fetch()
        with worker.start(https.url(repository.path)) as first:
            assert https.holding.wait(30)
            asked = len(https.requests)
            with pytest.raises(JobError) as caught:
                # Its refs are answered, then it waits for the lock.
                worker.checkout(https.url(repository.path), "main", LOGIN, lambda: len(https.requests) < asked + 2)
            assert caught.value.job_code == "canceled"
            https.released.set()
            assert first.communicate(timeout=60)[0] == "miss\n"

    def test_a_worker_killed_in_the_middle_of_a_fetch_leaves_a_cache_that_works(self, worker, repository, https):
        https.hold_next_fetch()
        with worker.start(https.url(repository.path)) as doomed:
            assert https.holding.wait(30)
            fetchers = descendants(doomed.pid)
            assert fetchers
            os.kill(doomed.pid, signal.SIGKILL)
        wait_for(lambda: not [pid for pid in fetchers if is_alive(pid)], message="the fetch outlived its worker")
        https.released.set()
        done, files = worker.checkout(https.url(repository.path), "main", LOGIN)
        assert done.cache == "miss"
        assert (files / "site.yml").exists()
        assert list((worker.cache / "repos").glob("*/tmp-*")) == []

    def test_a_worker_killed_while_it_brings_a_mirror_up_to_date_leaves_a_cache_that_works(
        self, worker, repository, https
    ):
        worker.checkout(https.url(repository.path), "main", LOGIN)
        repository.commit({"more": os.urandom(MIB).hex()})
        https.hold_next_fetch()
        with worker.start(https.url(repository.path)) as doomed:
            assert https.holding.wait(30)
            os.kill(doomed.pid, signal.SIGKILL)
        https.released.set()
        done, files = worker.checkout(https.url(repository.path), "main", LOGIN)
        assert (done.cache, (files / "more").stat().st_size) == ("miss", 2 * MIB)
        packs = next((worker.cache / "repos").glob("*/mirror/objects/pack"))
        assert {path.suffix for path in packs.iterdir()} == {".pack", ".idx"}

    def test_a_cancel_in_the_middle_of_a_fetch_leaves_a_cache_that_works(self, worker, repository, https):
        https.hold_next_fetch()
        with pytest.raises(JobError) as caught:
            worker.checkout(https.url(repository.path), "main", LOGIN, lambda: not https.holding.is_set())
        assert caught.value.job_code == "canceled"
        https.released.set()
        assert worker.checkout(https.url(repository.path), "main", LOGIN)[0].cache == "miss"


class TestTheCache:
    def test_a_job_cannot_change_what_the_next_one_gets(self, worker, repository):
        _, files = worker.checkout(repository, "main")
        (files / "site.yml").write_text("spoiled")
        _, again = worker.checkout(repository, "main")
        assert (again / "site.yml").read_text() == "- hosts: all\n"

    def test_the_least_recently_used_goes_first_when_the_cache_is_full(self, worker, tmp_path):
        repositories = [git_repository(tmp_path / name) for name in ("old", "used", "new")]
        for repository in repositories:
            repository.commit({"filler": os.urandom(MIB).hex()})
        for repository in repositories[:2]:
            worker.checkout(repository, "main")
        age(worker.cache)
        worker.checkout(repositories[1], "main")
        worker.limits = replace(LIMITS, cache_size=8 * MIB)
        worker.checkout(repositories[2], "main")
        worker.limits = LIMITS
        assert [worker.checkout(each, "main")[0].cache for each in repositories] == ["miss", "hit", "hit"]

    def test_a_cache_that_holds_nothing_still_serves(self, worker, repository):
        worker.limits = replace(LIMITS, cache_size=0)
        for _ in range(2):
            assert worker.checkout(repository, "main")[0].cache == "miss"
        assert list((worker.cache / "trees").iterdir()) == []

    def test_a_tree_that_lost_its_content_in_a_crash_is_made_anew(self, worker, repository):
        worker.checkout(repository, "main")
        (stored,) = worker.cache.glob("trees/*/files/site.yml")
        stored.write_text("")
        _, files = worker.checkout(repository, "main")
        assert (files / "site.yml").read_text() == "- hosts: all\n"

    def test_a_damaged_mirror_is_replaced(self, worker, repository):
        worker.checkout(repository, "main")
        for pack in worker.cache.glob("repos/*/mirror/objects/pack/*"):
            pack.chmod(0o600)
            pack.write_bytes(b"damaged")
        repository.commit({"site.yml": "moved\n"})
        done, files = worker.checkout(repository, "main")
        assert (done.cache, (files / "site.yml").read_text()) == ("miss", "moved\n")


def test_modes_and_symlinks_are_kept_and_submodules_are_empty(worker: Worker, repository: GitRepository):
    (repository.path / "run.sh").write_text("#!/bin/sh\n")
    (repository.path / "run.sh").chmod(0o4755)
    (repository.path / "link").symlink_to("site.yml")
    (repository.path / "out").symlink_to("/etc/passwd")
    repository.git("add", "--all")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor")
    repository.git("commit", "--quiet", "-m", "more")
    _, files = worker.checkout(repository, "main")
    assert (files / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (files / "site.yml").stat().st_mode & 0o7777 == 0o644
    assert [(files / name).readlink() for name in ("link", "out")] == [Path("site.yml"), Path("/etc/passwd")]
    assert list((files / "vendor").iterdir()) == []
    assert files.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_no_repository_is_an_error(worker: Worker, tmp_path: Path):
    with pytest.raises(JobError, match="not a git repository") as caught:
        worker.checkout(f"file://{tmp_path}", "main")
    assert caught.value.job_code == "source_invalid"


def test_a_host_name_that_does_not_exist_is_worth_another_attempt(worker: Worker):
    with pytest.raises(TransientJobError) as caught:
        worker.checkout("https://no-such-host.invalid/project", "main")
    assert caught.value.job_code == "source_unreachable"


def test_a_file_that_unpacks_beyond_the_memory_limit_is_refused(worker: Worker, repository: GitRepository):
    with (repository.path / "bomb").open("wb") as bomb:
        bomb.truncate(400 * MIB)
    repository.git("-c", "core.compression=1", "-c", "core.bigFileThreshold=1", "add", "bomb")
    repository.git("commit", "--quiet", "-m", "bomb")
    worker.limits = replace(LIMITS, size=4096 * MIB, memory=300 * MIB)
    with pytest.raises(JobError) as caught:
        worker.checkout(repository, "main")
    assert (caught.value.job_code, caught.value.retryable) == ("source_too_large", False)


def age(cache: Path) -> None:
    """Make all that was used seem used long ago."""
    for stamp in [*cache.glob("repos/*/size"), *cache.glob("trees/*/count")]:
        os.utime(stamp, (1, 1))
