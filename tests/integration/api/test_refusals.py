"""What is refused, with which code, and that nothing secret is said or kept."""

import copy
import json
from typing import Any

import httpx
import pytest

from ansible_api.credentials.schemas import NewCredential
from ansible_api.credentials.store import create as create_credential
from ansible_api.jobs import store
from ansible_api.keys.model import Role
from tests.integration.api.conftest import JOB, Api

pytestmark = pytest.mark.anyio
JOBS = "/api/v1/jobs"
CANARY = "hunter2-canary"


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good request with another value at one place."""
    document = copy.deepcopy(JOB)
    *parents, last = path.strip("/").split("/")
    here = document
    for part in parents:
        here = here.setdefault(part, {})
    here[last] = value
    return document


BAD: list[tuple[str, Any, str]] = [
    ("/bogus", CANARY, "/bogus"),
    ("/source/bogus", CANARY, "/source/bogus"),
    ("/source/type", CANARY, "/source/type"),
    ("/source/path", 7, "/source/path"),
    ("/source/path", "../../etc/passwd", "/source/path"),
    ("/source/path", "/etc/passwd", "/source/path"),
    ("/source/path", "a/../../b.yml", "/source/path"),
    ("/source/path", "-e@/etc/passwd", "/source/path"),
    ("/source/path", ["site.yml", "--version"], "/source/path/1"),
    ("/source/path", [], "/source/path"),
    ("/source/branch", "--upload-pack=touch /tmp/x", "/source/branch"),
    ("/source/repo", "ext::sh -c id", "/source/repo"),
    ("/source/repo", "--upload-pack=id", "/source/repo"),
    ("/source/repo", "https://user:" + CANARY + "@git.example.com/p.git", "/source/repo"),
    ("/source/repo", "http://git.example.com/p.git", "/source/repo"),
    ("/source/repo", "git://git.example.com/p.git", "/source/repo"),
    ("/source/repo", "file:///srv/p.git", "/source/repo"),
    ("/source/repo", "/srv/p.git", "/source/repo"),
    ("/source/git_credential", "absent", "/source/git_credential"),
    ("/credentials", {"ssh": "absent"}, "/credentials/ssh"),
    ("/credentials", {"become_password": "deploy-key"}, "/credentials/become_password"),
    ("/inventory/hosts", [], "/inventory"),
    ("/inventory/hosts", ["--list"], "/inventory/hosts/0"),
    ("/inventory/hosts", "web1", "/inventory/hosts"),
    ("/extra_vars", ["a"], "/extra_vars"),
    ("/extra_vars", {"big": "x" * 1024 * 1024}, "/extra_vars"),
    ("/options", {"timeout": 0}, "/options/timeout"),
    ("/options", {"timeout": "60"}, "/options/timeout"),
    ("/options", {"check_mode": "yes"}, "/options/check_mode"),
    ("/options", {"forks": 10_000}, "/options/forks"),
    ("/options", {"verbosity": 9}, "/options/verbosity"),
    ("/options", {"limit": "-i/etc/passwd"}, "/options/limit"),
    ("/options", {"tags": ["ok", "--skip"]}, "/options/tags/1"),
    ("/options", {"priority": 10}, "/options/priority"),
    ("/options", {"queue": "delivery"}, "/options/queue"),
    ("/options", {"queue": "git-heavy"}, "/options/queue"),
    ("/options", {"callback_url": "ftp://ci.example.com/"}, "/options/callback_url"),
]


async def test_a_bad_field_is_named_and_the_next_job_runs(api: Api, subtests: pytest.Subtests) -> None:
    new = {"name": "deploy-key", "kind": "vault_password", "password": "x"}
    api.database.write(create_credential, api.parts.cipher, "red", NewCredential.model_validate(new))
    async with api.client() as client:
        for path, value, pointer in BAD:
            with subtests.test(path=path, value=str(value)[:50]):
                check_refusal(await client.post(JOBS, json=changed(path, value)), pointer)
        assert (await client.post(JOBS, json=JOB)).status_code == 202
        assert len((await client.get(JOBS)).json()["items"]) == 1


def check_refusal(refused: httpx.Response, pointer: str) -> None:
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json"), refused.text
    problem = refused.json()
    assert (problem["code"], problem["type"]) == ("invalid_request", "urn:ansible-api:problem:invalid_request")
    assert problem["request_id"] == refused.headers["x-request-id"]
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert CANARY not in refused.text
    assert "Traceback" not in refused.text


THIS_MACHINE = [
    "localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]",
    "0.0.0.0", "169.254.169.254", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "LOCALHOST.", "127.0.0.1.",
]  # fmt: skip


async def test_a_callback_url_that_is_this_machine_is_refused_in_every_spelling(
    api: Api, subtests: pytest.Subtests
) -> None:
    async with api.client() as client:
        for host in THIS_MACHINE:
            with subtests.test(host=host):
                request = changed("/options", {"callback_url": f"http://{host}/hook"})
                check_refusal(await client.post(JOBS, json=request), "/options/callback_url")


async def test_local_repositories_are_taken_where_a_setting_allows_them(start: Any) -> None:
    api: Api = await start(allow_local_repos=True)
    async with api.client() as client:
        for repo in ("/srv/p.git", "file:///srv/p.git"):
            assert (await client.post(JOBS, json=changed("/source/repo", repo))).status_code == 202


async def test_what_is_no_json_is_malformed(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client() as client:
        for body in (b"", b"{", b'{"source": "\xff"}', b"[" * 50_000, b'{"extra_vars": {"a": NaN}}'):
            with subtests.test(body=body[:30]):
                refused = await client.post(JOBS, content=body, headers={"Content-Type": "application/json"})
                assert (refused.status_code, refused.json()["code"]) == (400, "malformed_body")


async def test_a_document_that_is_no_object_is_invalid(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client() as client:
        for body in (b"null", b"[]", b'"x"', b"7"):
            with subtests.test(body=body):
                check_refusal(await client.post(JOBS, content=body), "")


async def test_nesting_that_a_database_cannot_hold_is_refused_before_it(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client() as client:
        for levels in (28, 29, 40, 150):
            with subtests.test(levels=levels):
                nested: Any = 1
                for _ in range(levels):
                    nested = {"a": nested}
                answer = await client.post(JOBS, json=JOB | {"extra_vars": nested})
                assert answer.status_code == (202 if levels <= 28 else 422), answer.text


async def test_numbers_of_any_size_are_kept_or_refused_but_never_fail(api: Api) -> None:
    text = json.dumps(JOB | {"extra_vars": {"n": 0}})
    async with api.client() as client:
        for number, status in (("1" * 300, 202), ("1" * 5000, 400), ("1e999", 422), ("-0.0", 202)):
            answer = await client.post(JOBS, content=text.replace('"n": 0', f'"n": {number}'))
            assert answer.status_code == status, (number[:9], answer.text)


MEDIA_TYPES = {
    "application/json; charset=utf-8": 202,
    "application/vnd.acme+json": 202,
    "": 202,
    "text/plain": 415,
    "application/x-www-form-urlencoded": 415,
    "multipart/form-data; boundary=x": 415,
}


async def test_only_json_is_taken(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client() as client:
        assert (await client.post(JOBS, content=json.dumps(JOB))).status_code == 202
        for media_type, status in MEDIA_TYPES.items():
            with subtests.test(media_type=media_type):
                answer = await client.post(JOBS, content=json.dumps(JOB), headers={"Content-Type": media_type})
                assert answer.status_code == status


async def test_a_body_over_the_limit_is_refused_whether_its_length_was_told_or_not(start: Any) -> None:
    api: Api = await start(body_limit=2048)

    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 1024

    async with api.client() as client:
        told = await client.post(JOBS, content=b" " * 2049)
        untold = await client.post(JOBS, content=pieces())
    for refused in (told, untold):
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        assert refused.headers["connection"] == "close"


async def test_strangers_are_refused_before_their_body_is_looked_at(api: Api) -> None:
    async with api.stranger() as client:
        for authorization in (None, "Bearer x", "Bearer aak_" + "0" * 24 + "_" + "x" * 43, "Basic eDp5", "Bearer"):
            headers = {"Authorization": authorization} if authorization else {}
            refused = await client.post(JOBS, content=b"{", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            assert refused.headers["www-authenticate"] == "Bearer"


async def test_what_leads_nowhere_is_answered_with_a_problem(api: Api) -> None:
    async with api.client() as client:
        absent = await client.get("/api/v2/jobs")
        slash = await client.get("/api/v1/jobs/")
        method = await client.put(JOBS, json=JOB)
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")
    assert slash.status_code == 404
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in method.headers["allow"] or "GET" in method.headers["allow"]
    assert {answer.headers["content-type"] for answer in (absent, slash, method)} == {"application/problem+json"}


async def test_a_request_id_is_taken_when_it_is_harmless(api: Api) -> None:
    async with api.stranger() as client:
        taken = await client.get("/health", headers={"X-Request-Id": "ci-run.42_a"})
        made = await client.get("/health", headers={"X-Request-Id": "a b\tc"})
        long = await client.get("/health", headers={"X-Request-Id": "x" * 129})
    assert taken.headers["x-request-id"] == "ci-run.42_a"
    assert len(made.headers["x-request-id"]) == len(long.headers["x-request-id"]) == 24


async def test_a_fault_of_ours_is_a_problem_without_a_traceback(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api.client() as client:
        job_id = (await client.post(JOBS, json=JOB)).json()["id"]

        def broken(*_args: Any, **_kwargs: Any) -> Any:
            raise RuntimeError(CANARY)

        monkeypatch.setattr(store, "hosts", broken)
        failed = await client.get(f"{JOBS}/{job_id}/hosts")
    assert (failed.status_code, failed.json()["code"]) == (500, "internal_error")
    assert failed.json()["request_id"] == failed.headers["x-request-id"]
    assert CANARY not in failed.text
    assert "Traceback" not in failed.text


# Roles

CALLS = [
    ("GET", "/jobs", Role.VIEWER),
    ("GET", "/jobs/x", Role.VIEWER),
    ("GET", "/jobs/x/stream", Role.VIEWER),
    ("GET", "/jobs/x/logs", Role.VIEWER),
    ("GET", "/jobs/x/events", Role.VIEWER),
    ("GET", "/jobs/x/hosts", Role.VIEWER),
    ("GET", "/jobs/x/deliveries", Role.VIEWER),
    ("POST", "/jobs", Role.SUBMITTER),
    ("DELETE", "/jobs/x", Role.SUBMITTER),
    ("POST", "/jobs/x/cancel", Role.SUBMITTER),
    ("GET", "/credentials", Role.SUBMITTER),
    ("POST", "/credentials", Role.ADMIN),
    ("GET", "/credentials/kinds", Role.SUBMITTER),
    ("PUT", "/credentials/x", Role.ADMIN),
    ("POST", "/credentials/x/test", Role.ADMIN),
    ("DELETE", "/credentials/x", Role.ADMIN),
    ("POST", "/keys", Role.ADMIN),
    ("GET", "/keys", Role.ADMIN),
    ("DELETE", "/keys/x", Role.ADMIN),
    ("GET", "/deliveries/x", Role.VIEWER),
    ("POST", "/deliveries/x/redeliver", Role.SUBMITTER),
    ("POST", "/webhook-secrets", Role.ADMIN),
    ("GET", "/webhook-secrets", Role.ADMIN),
]


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_may_what_it_may_and_nothing_more(api: Api, role: Role) -> None:
    async with api.client(role) as client:
        for method, path, needed in CALLS:
            answer = await client.request(method, f"/api/v1{path}")
            allowed = answer.status_code not in (401, 403)
            assert allowed == role.includes(needed), (method, path, answer.text)
            if not allowed:
                assert needed in answer.json()["detail"]
