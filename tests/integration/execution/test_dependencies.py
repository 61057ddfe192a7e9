"""Collections and roles from a real Galaxy server, installed by the real ansible-galaxy, and plays that use them."""

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.asking import TOKEN, Job, installed
from tests.servers.galaxy import GalaxyServer, archive, galaxy_server, pack, pack_installed
from tests.servers.webhook_sink import WebhookSink
from tests.waiting import wait_for

from ansible_api.credentials.secrets import Secrets, Token
from ansible_api.egress import Policy
from ansible_api.errors import TransientJobError
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.preparation import ExecutionConfig, GalaxyLimits
from ansible_api.execution.workspace import sweep
from ansible_api.settings import MIB, Isolation

TRIAL = Policy(allow_private=True, allow_loopback=True)
MODULE = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={})
module.exit_json(changed=False, told="VERSION")
"""
TASKS = (
    '- name: tell\n  acme.tools.tell:\n  register: told\n- name: say\n  debug: {msg: "{{ word }} {{ told.told }}"}\n'
)

KILLED = """
import sys
from pathlib import Path
from ansible_api.egress import Policy
from ansible_api.execution.preparation import ExecutionConfig
from tests.integration.execution.asking import Job
from tests.servers.galaxy import GalaxyServer
home = Path(sys.argv[1])
config = ExecutionConfig(home / "work", home / "git", egress=Policy(allow_private=True, allow_loopback=True))
Job(config, GalaxyServer(port=int(sys.argv[2]))).prepare("acme.tools 1.0.0")
"""


def tools(version: str, **more: Any) -> bytes:
    files = {
        "README.md": "tools",
        "plugins/modules/tell.py": MODULE.replace("VERSION", version),
        "roles/speak/tasks/main.yml": TASKS,
        "roles/speak/defaults/main.yml": "word: hello\n",
        "roles/silent/meta/main.yml": "dependencies: []\n",
    }
    return pack("acme.tools", version, files, **more)


@pytest.fixture(scope="module")
def server() -> Iterator[GalaxyServer]:
    with galaxy_server(TOKEN) as galaxy:
        yield galaxy


@pytest.fixture
def galaxy(server: GalaxyServer) -> GalaxyServer:
    """The server with two collections and a role, behaving well."""
    server.collections.clear()
    server.roles.clear()
    server.requests.clear()
    server.answer = lambda _path: None
    server.download_base, server.hang, server.flood = None, False, None
    for version in ("1.0.0", "1.2.0", "2.0.0"):
        server.add(tools(version))
    server.add(pack("acme.needy", "1.0.0", {"README.md": ""}, {"acme.tools": ">=1.0.0,<2.0.0"}))
    role = {"r-1/meta/main.yml": b"dependencies: []\n", "r-1/tasks/main.yml": b"- name: role\n  debug: {msg: x}\n"}
    server.roles["acme.greet", "1.0.0"] = archive(role)
    return server


@pytest.fixture
def config(tmp_path: Path) -> ExecutionConfig:
    limits = GalaxyLimits(timeout=60)
    return ExecutionConfig(tmp_path / "work", tmp_path / "git", Isolation.AUTO, egress=TRIAL, galaxy=limits)


@pytest.fixture
def job(config: ExecutionConfig, galaxy: GalaxyServer) -> Job:
    return Job(config, galaxy)


class TestWhatIsInstalled:
    def test_nothing_asked_for_costs_nothing(self, job: Job):
        job.config = replace(job.config, work_dir=job.config.work_dir.parent / "w", isolation=Isolation.NONE)
        assert job.prepare() == Dependencies()
        assert job.galaxy.requests == []
        assert not (job.config.cache_dir.parent / "galaxy").exists()

    def test_collections_and_roles_of_all_files_and_of_the_request(self, job: Job):
        job.files = {
            "requirements.yml": "- src: acme.greet\n  name: greet\n",
            "collections/requirements.yaml": "collections:\n  - name: acme.needy\n    version: 1.0.0\n",
        }
        assert installed(job.prepare("acme.tools >=1.0.0,<3")) == {
            "acme.needy": "1.0.0",
            "acme.tools": "1.2.0",  # what needy allows
            "greet": "1.0.0",
        }

    def test_the_token_goes_to_its_server_with_every_request(self, job: Job):
        job.prepare("acme.tools 1.0.0")
        asked = {request.authorization for request in job.galaxy.requests if request.path != "/api/"}
        assert asked == {f"Token {TOKEN}"}

    def test_our_server_named_in_the_file_gets_it_too(self, job: Job):
        entry = f"collections: [{{name: acme.tools, version: 1.0.0, source: '{job.galaxy.url.rstrip('/')}'}}]"
        job.files = {"requirements.yml": entry}
        assert installed(job.prepare()) == {"acme.tools": "1.0.0"}

    def test_another_server_named_in_the_file_gets_no_token(self, job: Job):
        with galaxy_server() as other:
            other.add(tools("7.0.0"))
            entry = f"collections: [{{name: acme.tools, source: '{other.url}'}}]"
            job.files = {"requirements.yml": entry}
            assert installed(job.prepare()) == {"acme.tools": "7.0.0"}
            assert {request.authorization for request in other.requests} == {None}

    def test_a_real_collection(self, job: Job):
        job.galaxy.add(pack_installed("ansible.posix"))
        seen: list[bool] = []

        def look(needed: Dependencies) -> None:
            assert needed.collections is not None
            seen.append((needed.collections / "ansible_collections/ansible/posix/plugins/modules/mount.py").is_file())

        assert "ansible.posix" in installed(job.prepare("ansible.posix", look=look))
        assert seen == [True]


class TestWhatGoesWrong:
    def test_an_unknown_collection(self, job: Job):
        error = job.fails("acme.nothing")
        assert (error.job_code, error.retryable) == ("collection_not_found", False)
        assert "acme.nothing" in error.detail

    def test_an_unknown_role(self, job: Job):
        job.files = {"roles/requirements.yml": "- acme.nothing\n"}
        error = job.fails()
        assert (error.job_code, error.retryable) == ("role_not_found", False)
        assert "acme.nothing" in error.detail

    def test_a_version_of_a_role_that_is_not_there(self, job: Job):
        job.files = {"roles/requirements.yml": "- acme.greet,9.9.9\n"}
        assert job.fails().job_code == "version_not_found"

    def test_a_range_that_nothing_satisfies(self, job: Job):
        error = job.fails("acme.tools >=9.0.0")
        assert error.job_code == "version_not_found"
        assert "acme.tools" in error.detail
        assert ">=9.0.0" in error.detail

    def test_a_conflict(self, job: Job):
        assert job.fails("acme.tools >=2.0.0", "acme.needy").job_code == "dependency_conflict"

    def test_a_checksum_that_does_not_match(self, job: Job):
        job.galaxy.add(tools("3.0.0"), sha256="0" * 64)
        error = job.fails("acme.tools 3.0.0")
        assert (error.job_code, error.retryable) == ("checksum_mismatch", False)

    @pytest.mark.parametrize("token", ["wrong-token", None])
    def test_a_token_that_the_server_refuses(self, job: Job, token: str | None):
        job.secrets = Secrets({"/source/galaxy_credential": Token(SecretStr(token))} if token else {})
        error = job.fails("acme.tools 1.0.0")
        assert (error.job_code, error.retryable) == ("galaxy_refused", False)
        assert "galaxy_credential" in error.detail
        assert "wrong-token" not in error.detail

    def test_a_server_that_says_403(self, job: Job):
        job.galaxy.answer = lambda path: (403, {}) if "versions" in path else None
        assert job.fails("acme.tools 1.0.0").job_code == "galaxy_refused"

    def test_a_broken_server(self, job: Job):
        job.galaxy.answer = lambda path: (500, {})
        error = job.fails("acme.tools 1.0.0")
        assert (error.job_code, type(error)) == ("galaxy_unreachable", TransientJobError)

    def test_a_broken_download(self, job: Job):
        job.galaxy.answer = lambda path: (500, {}) if path.startswith("/download/") else None
        assert job.fails("acme.tools 1.0.0").job_code == "galaxy_unreachable"

    def test_a_server_that_hangs(self, job: Job):
        job.galaxy.hang = True
        job.config = replace(job.config, galaxy=replace(job.config.galaxy, timeout=2.5))
        began = time.monotonic()
        error = job.fails("acme.tools 1.0.0")
        assert (error.job_code, type(error)) == ("galaxy_unreachable", TransientJobError)
        assert time.monotonic() - began < 8

    def test_no_server_at_all(self, job: Job):
        error = job.fails("acme.tools 1.0.0", galaxy_server="http://127.0.0.1:9/api/")
        assert error.job_code == "galaxy_unreachable"

    def test_something_that_is_no_galaxy(self, job: Job, webhook_sink: WebhookSink):
        assert job.fails("acme.tools 1.0.0", galaxy_server=webhook_sink.url).job_code == "galaxy_invalid"

    def test_a_job_that_is_stopped(self, job: Job):
        job.galaxy.hang = True
        job.keep_going = lambda: not job.galaxy.requests
        assert job.fails("acme.tools 1.0.0").job_code == "canceled"

    def test_more_than_may_be_installed(self, job: Job):
        job.config = replace(job.config, git=replace(job.config.git, size=1000))
        assert job.fails("acme.tools 1.0.0").job_code == "dependencies_too_large"
        assert not list((job.config.cache_dir.parent / "galaxy").glob("trees/*"))

    @pytest.mark.parametrize("path", ["/api/v3/collections/acme/tools/versions/", "/download/"])
    def test_an_answer_that_never_ends(self, job: Job, path: str):
        job.galaxy.flood = path
        job.config = replace(job.config, git=replace(job.config.git, memory=300 * MIB, size=100 * MIB))
        assert job.fails("acme.tools 1.0.0").job_code == "dependencies_too_large"


class TestWhereItMayGo:
    # The service itself refuses a server at such an address; what the server says and repositories name is met here.
    def test_a_server_that_may_not_be_reached(self, job: Job):
        job.config = replace(job.config, egress=Policy(allow_private=True))
        error = job.fails("acme.tools 1.0.0")
        assert (error.job_code, error.retryable) == ("galaxy_denied", False)
        assert job.galaxy.requests == []

    @pytest.mark.parametrize("how", ["redirect", "download_url", "source", "url", "role"])
    def test_nothing_leads_to_a_denied_address(self, job: Job, webhook_sink: WebhookSink, how: str):
        denied = f"http://0.0.0.0:{webhook_sink.port}"  # never allowed, and Linux takes it for loopback
        with urllib.request.urlopen(urllib.request.Request(denied, b""), timeout=10) as answer:
            assert answer.status == 204
        webhook_sink.requests.clear()
        if how == "redirect":
            job.galaxy.answer = lambda path: (302, {"Location": f"{denied}/x"}) if "/download/" in path else None
        elif how == "download_url":
            job.galaxy.download_base = denied
        entries = {
            "source": f"collections: [{{name: acme.tools, source: '{denied}/api/'}}]",
            "url": f"collections: ['{denied}/acme-tools-1.0.0.tar.gz']",
            "role": f"roles: [{{src: '{denied}/r.tar.gz', name: r}}]",
        }
        job.files = {"requirements.yml": entries[how]} if how in entries else {}
        error = job.fails(*([] if how in entries else ["acme.tools 1.0.0"]))
        assert (error.job_code, error.retryable) == ("galaxy_denied", False)
        assert webhook_sink.requests == []

    def test_git_goes_to_no_denied_address_either(self, job: Job):
        job.files = {"requirements.yml": "collections: [{source: 'https://169.254.169.254/x.git', type: git}]"}
        assert job.fails().job_code == "galaxy_denied"


class TestCache:
    def facts(self, needed: Dependencies) -> str:
        assert needed.facts is not None
        return str(needed.facts["cache"])

    def test_the_same_again_is_lent_without_a_request(self, job: Job):
        assert self.facts(job.prepare("acme.tools 1.0.0")) == "miss"
        job.galaxy.requests.clear()
        assert self.facts(job.prepare("acme.tools 1.0.0")) == "hit"
        assert job.galaxy.requests == []

    def test_another_credential_does_not_get_it(self, job: Job):
        job.prepare("acme.tools 1.0.0")
        job.secrets = Secrets()
        assert job.fails("acme.tools 1.0.0").job_code == "galaxy_refused"

    def test_ranges_are_looked_up_again_after_their_time_and_pinned_versions_are_not(self, job: Job):
        job.config = replace(job.config, galaxy=replace(job.config.galaxy, ttl=0))
        for name in ("acme.tools", "acme.tools 1.0.0"):
            job.prepare(name)
        job.galaxy.add(tools("2.1.0"))
        again = job.prepare("acme.tools")
        assert (self.facts(again), installed(again)) == ("miss", {"acme.tools": "2.1.0"})
        assert self.facts(job.prepare("acme.tools 1.0.0")) == "hit"

    def test_twenty_at_once_install_once(self, job: Job):
        results: list[str] = []

        def one() -> None:
            results.append(self.facts(Job(job.config, job.galaxy).prepare("acme.tools 1.2.0")))

        threads = [threading.Thread(target=one) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["hit"] * 19 + ["miss"]
        assert len(job.galaxy.downloads) == 1

    def test_a_writer_that_was_killed_leaves_nothing_broken(self, job: Job):
        root = job.config.cache_dir.parent / "galaxy"
        job.galaxy.answer = lambda path: job.galaxy.released.wait(60) and None if "/download/" in path else None
        argv = [sys.executable, "-c", KILLED, str(root.parent), str(job.galaxy.port)]
        with subprocess.Popen(argv, cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONPATH": "."}) as writer:
            wait_for(lambda: job.galaxy.downloads)
            writer.kill()
        sweep(job.config.work_dir)
        job.galaxy.answer = lambda _path: None
        assert list(root.glob("repos/*/tmp-*"))
        assert self.facts(job.prepare("acme.tools 1.0.0")) == "miss"
        assert not list(root.glob("repos/*/tmp-*"))
        assert self.facts(job.prepare("acme.tools 1.0.0")) == "hit"
