"""Submodules by opt-in: at their pinned commits, through the cache, and by the rules of every repository."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from ansible_api.credentials.secrets import SshKey
from ansible_api.egress import Policy
from ansible_api.errors import JobError, TransientJobError
from tests.integration.git.workers import LIMITS, LOGIN, MIB, Worker
from tests.servers.git_servers import GitRepository, HttpsGitServer, git_repository, https_git_server

NOWHERE = "1" * 40


def library(tmp_path: Path, name: str = "library") -> GitRepository:
    """A repository with one file, served beside the project."""
    repository = git_repository(tmp_path / "served" / name)
    repository.commit({f"{name}.yml": f"{name}\n"})
    return repository


def pin(repository: GitRepository, path: str, url: str | None, commit: str, name: str | None = None) -> str:
    """Commit a submodule without asking git whether it likes it."""
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    if url is not None:
        said = f'[submodule "{name or path}"]\n\tpath = {path}\n\turl = {url}\n'
        with (repository.path / ".gitmodules").open("a") as file:
            file.write(said)
        repository.git("add", ".gitmodules")
    repository.git("commit", "--quiet", "-m", f"submodule {path}")
    return repository.git("rev-parse", "HEAD")


def move(repository: GitRepository, url: str) -> None:
    """Give the library another address."""
    repository.git("config", "-f", ".gitmodules", "submodule.vendor/library.url", url)
    repository.git("add", ".gitmodules")
    repository.git("commit", "--quiet", "-m", "moved")


def head(repository: GitRepository) -> str:
    return repository.git("rev-parse", "HEAD")


@pytest.fixture
def with_library(repository: GitRepository, tmp_path: Path) -> GitRepository:
    """The project with a library at vendor/library, its address relative as that of a server's neighbour."""
    inner = library(tmp_path)
    pin(repository, "vendor/library", "../../library/.git", head(inner))
    inner.commit({"library.yml": "newer\n"})
    return repository


def refused(worker: Worker, repository: GitRepository | str) -> JobError:
    with pytest.raises(JobError) as caught:
        worker.checkout(repository, "main", LOGIN if isinstance(repository, str) else None, submodules=True)
    return caught.value


class TestWhatIsCheckedOut:
    def test_submodules_are_left_out_unless_asked_for(self, worker, with_library, https):
        _, files = worker.checkout(https.url(with_library.path), "main", LOGIN)
        assert list((files / "vendor/library").iterdir()) == []

    def test_a_submodule_comes_at_its_pinned_commit(self, worker, with_library, https):
        done, files = worker.checkout(https.url(with_library.path), "main", LOGIN, submodules=True)
        assert (files / "vendor/library/library.yml").read_text() == "library\n"
        assert done.commit == head(with_library)

    def test_it_comes_over_ssh_as_well(self, worker, with_library, ssh, ssh_login):
        move(with_library, "../library")
        _, files = worker.checkout(ssh.url(with_library.path), "main", ssh_login, submodules=True)
        assert (files / "vendor/library/library.yml").read_text() == "library\n"

    def test_the_second_job_gets_all_of_it_from_the_cache(self, worker, with_library, https):
        address = https.url(with_library.path)
        assert worker.checkout(address, "main", LOGIN, submodules=True)[0].cache == "miss"
        fetches = https.fetches
        assert worker.checkout(address, "main", LOGIN, submodules=True)[0].cache == "hit"
        assert https.fetches == fetches == 2

    def test_a_project_that_is_cached_and_a_library_that_is_not_is_a_miss(self, worker, with_library, https):
        worker.checkout(https.url(with_library.path), "main", LOGIN)
        assert worker.checkout(https.url(with_library.path), "main", LOGIN, submodules=True)[0].cache == "miss"

    def test_submodules_of_submodules_come_too(self, worker, repository, tmp_path, https):
        deepest, middle = library(tmp_path, "deepest"), library(tmp_path, "middle")
        pin(middle, "below", "../../deepest/.git", head(deepest))
        pin(repository, "middle", "../../middle/.git", head(middle))
        _, files = worker.checkout(https.url(repository.path), "main", LOGIN, submodules=True)
        assert (files / "middle/below/deepest.yml").read_text() == "deepest\n"

    def test_a_tree_that_was_cached_before_its_submodules_were_noted_is_made_anew(self, worker, with_library):
        move(with_library, "../library")
        worker.checkout(with_library, "main")
        (note,) = worker.cache.glob("trees/*/count")
        note.write_text("[3, 1]")
        _, files = worker.checkout(with_library, "main", submodules=True)
        assert (files / "vendor/library/library.yml").exists()


class TestCredentials:
    def test_another_server_gets_no_credential(self, worker, repository, tmp_path, https, monkeypatch):
        inner = library(tmp_path)
        (tmp_path / "other").mkdir()
        with https_git_server(tmp_path / "other", tmp_path / "served") as other:
            trust(monkeypatch, tmp_path, https, other)
            pin(repository, "library", other.url(inner.path), head(inner))
            error = refused(worker, https.url(repository.path))
            assert error.job_code == "source_refused"
            assert error.detail.startswith("Submodule library: ")
            assert {request.authorization for request in other.requests} == {None}

    def test_a_stranger_cannot_point_back_with_the_credential(self, worker, repository, tmp_path, https, monkeypatch):
        private, between = library(tmp_path, "private"), library(tmp_path, "between")
        (tmp_path / "other").mkdir()
        with https_git_server(tmp_path / "other", tmp_path / "served", public=True) as other:
            trust(monkeypatch, tmp_path, https, other)
            pin(between, "private", https.url(private.path), head(private))
            pin(repository, "between", other.url(between.path), head(between))
            error = refused(worker, https.url(repository.path))
            assert error.job_code == "source_refused"
            assert error.detail.startswith("Submodule between/private: ")
            assert [each.authorization for each in https.requests if "/private/" in each.path] == [None]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "url",
        [
            "ext::sh -c id",
            "-u./payload",
            "--upload-pack=id",
            "ssh://-oProxyCommand=id/x",
            "https://user:token@127.0.0.1/x",
            "../../../../../../etc",
            "library",
            "",
        ],
    )
    def test_an_address_that_is_hostile_or_none_is_invalid(self, worker, repository, tmp_path, https, url):
        pin(repository, "lib", url, NOWHERE)
        error = refused(worker, https.url(repository.path))
        assert (error.job_code, error.retryable) == ("source_invalid", False)
        assert error.detail.startswith("Submodule lib: ")

    @pytest.mark.parametrize("url", ["file:///etc", "/etc", "http://127.0.0.1/x", "git://127.0.0.1/x"])
    def test_a_scheme_that_is_not_allowed_is_denied(self, worker, repository, https, url):
        pin(repository, "lib", url, NOWHERE)
        assert refused(worker, https.url(repository.path)).job_code == "source_denied"

    def test_an_address_inside_is_denied_and_not_connected_to(self, worker, repository, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            pin(repository, "lib", f"https://127.0.0.1:{listener.getsockname()[1]}/x", NOWHERE)
            worker.limits = replace(LIMITS, egress=Policy(allow_private=True))
            assert refused(worker, repository).job_code == "source_denied"
            with pytest.raises(BlockingIOError):
                listener.accept()

    def test_a_submodule_that_nothing_tells_the_address_of_is_invalid(self, worker, repository):
        pin(repository, "lib", None, NOWHERE)
        assert "no usable url" in refused(worker, repository).detail

    def test_a_name_that_git_refuses_does_not_count(self, worker, repository):
        pin(repository, "lib", "../library", NOWHERE, name="../../hooks")
        assert "no usable url" in refused(worker, repository).detail

    def test_a_gitmodules_that_includes_a_file_of_the_worker_reads_nothing_of_it(self, worker, repository, tmp_path):
        (tmp_path / "secret").write_text('[submodule "lib"]\n\tpath = lib\n\turl = https://127.0.0.1/secret\n')
        (repository.path / ".gitmodules").write_text(f"[include]\n\tpath = {tmp_path / 'secret'}\n")
        repository.git("add", ".gitmodules")
        pin(repository, "lib", None, NOWHERE)
        assert "no usable url" in refused(worker, repository).detail

    @pytest.mark.parametrize("text", ["[submodule", "x" * (2 * MIB), "\x00\x01"])
    def test_a_gitmodules_that_cannot_be_read_is_invalid_only_for_those_who_want_submodules(
        self, worker, repository, text
    ):
        (repository.path / ".gitmodules").write_text(text)
        repository.git("add", ".gitmodules")
        pin(repository, "lib", None, NOWHERE)
        assert worker.checkout(repository, "main")[0].cache == "miss"
        assert "no usable url" in refused(worker, repository).detail

    def test_a_commit_that_the_submodule_does_not_have_names_the_submodule(self, worker, repository, tmp_path, https):
        library(tmp_path)
        pin(repository, "vendor/library", "../../library/.git", NOWHERE)
        error = refused(worker, https.url(repository.path))
        assert error.job_code == "source_ref_not_found"
        assert error.detail.startswith("Submodule vendor/library: ")

    def test_an_unreachable_server_of_a_submodule_is_worth_another_attempt(self, worker, repository, closed_port):
        pin(repository, "lib", f"https://127.0.0.1:{closed_port}/x", NOWHERE)
        error = refused(worker, repository)
        assert isinstance(error, TransientJobError)
        assert error.detail.startswith("Submodule lib: ")

    def test_an_ssh_key_is_not_sent_to_an_https_submodule(self, worker, repository, ssh, ssh_login, https):
        pin(repository, "lib", f"https://127.0.0.1:{https.port}/library/.git", NOWHERE)
        with pytest.raises(JobError, match="Submodule lib") as caught:
            worker.checkout(ssh.url(repository.path), "main", ssh_login, submodules=True)
        assert caught.value.job_code == "source_refused"

    def test_too_many_are_refused(self, worker, repository, tmp_path):
        commit = head(library(tmp_path))
        for number in range(51):
            repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib{number}")
            repository.git("config", "-f", ".gitmodules", f"submodule.lib{number}.path", f"lib{number}")
            repository.git("config", "-f", ".gitmodules", f"submodule.lib{number}.url", "../library")
        repository.git("add", ".gitmodules")
        repository.git("commit", "--quiet", "-m", "many")
        assert "more than 50" in refused(worker, repository).detail

    def test_nesting_has_an_end(self, worker, tmp_path):
        inner = library(tmp_path, "level0")
        for level in range(1, 8):
            outer = library(tmp_path, f"level{level}")
            pin(outer, "in", f"../level{level - 1}", head(inner))
            inner = outer
        error = refused(worker, inner)
        assert error.job_code == "source_invalid"
        assert error.detail.startswith("Submodule in/in/in/in/in/in: Submodules are nested")

    def test_all_together_are_held_to_the_size_limit(self, worker, repository, tmp_path):
        inner = library(tmp_path)
        commit = inner.commit({"large": os.urandom(MIB // 2).hex()})
        for name in ("one", "two", "three"):
            pin(repository, name, "../library", commit)
        worker.limits = replace(LIMITS, size=2 * MIB)
        assert refused(worker, repository).job_code == "source_too_large"

    def test_a_submodule_behind_a_symlink_cannot_leave_the_checkout(self, worker, repository, tmp_path):
        commit = head(library(tmp_path))
        (tmp_path / "outside").mkdir()
        (repository.path / "link").symlink_to(tmp_path / "outside")
        repository.git("add", "link")
        pin(repository, "lib", "../library", commit)
        with (repository.path / ".gitmodules").open("a") as file:
            file.write('[submodule "evil"]\n\tpath = link/lib\n\turl = ../library\n')
        repository.git("add", ".gitmodules")
        repository.git("commit", "--quiet", "-m", "evil")
        _, files = worker.checkout(repository, "main", submodules=True)
        assert (files / "lib/library.yml").exists()
        assert list((tmp_path / "outside").iterdir()) == []


def trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *servers: HttpsGitServer) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.write_text("".join(server.certificate.read_text() for server in servers))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))


def test_a_key_that_fits_no_submodule_stays_with_its_server(
    worker: Worker, repository: GitRepository, closed_port: int
):
    pin(repository, "lib", f"ssh://git@127.0.0.1:{closed_port}/x", NOWHERE)
    with pytest.raises(TransientJobError):
        worker.checkout(repository, "main", SshKey(SecretStr("key")), submodules=True)
