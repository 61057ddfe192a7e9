"""Trying credentials out: real servers say whether they are good, and nothing of them is told."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ansible_api.keys.model import Role
from ansible_api.settings import Settings
from tests.integration.api.conftest import Api, started
from tests.servers.git_servers import (
    TOKEN,
    USERNAME,
    HttpsGitServer,
    SshGitServer,
    git_repository,
    https_git_server,
    ssh_git_server,
)
from tests.servers.openbao import ROOT_TOKEN, OpenBao
from tests.servers.sts import Sts, sts
from tests.servers.webhook_sink import Answer, WebhookSink

pytestmark = pytest.mark.anyio
CREDENTIALS = "/api/v1/credentials"
CANARY = "canary-tried-out"


@pytest.fixture
async def api(sqlite_settings: Settings) -> AsyncIterator[Api]:
    """An API that may reach the servers of the tests."""
    async with started(sqlite_settings.model_copy(update={"loopback_egress": True})) as api:
        yield api


@pytest.fixture
async def admin(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client(Role.ADMIN) as client:
        yield client


async def tried(admin: httpx.AsyncClient, test: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The verdict on a credential of these fields; no value of it is in the answer."""
    answer = await asked(admin, test, **fields)
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    assert set(verdict) == {"ok", "detail"}
    assert len(verdict["detail"]) > 10
    return verdict


async def asked(admin: httpx.AsyncClient, test: dict[str, Any] | None = None, **fields: Any) -> httpx.Response:
    stored = await admin.put(f"{CREDENTIALS}/tried", json=fields)
    assert stored.status_code in (200, 201), stored.text
    body = {"json": test} if test else {}
    answer = await admin.post(f"{CREDENTIALS}/tried/test", **body)
    for name in ("password", "token", "secret_access_key", "private_key", "secret_id"):
        assert str(fields.get(name, "\0")) not in answer.text
    assert "canary" not in answer.text
    return answer


# Git


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repositories")
    git_repository(root / "full").commit({"site.yml": "[]"})
    git_repository(root / "empty")
    return root


@pytest.fixture(scope="module")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshGitServer]:
    with ssh_git_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def https_server(tmp_path_factory: pytest.TempPathFactory, repositories: Path) -> Iterator[HttpsGitServer]:
    with https_git_server(tmp_path_factory.mktemp("https"), repositories) as server:
        yield server


@pytest.mark.parametrize("kind", ["git", "ssh_key"])
async def test_a_key_is_tried_on_a_git_server(
    admin: httpx.AsyncClient, ssh_server: SshGitServer, repositories: Path, kind: str
) -> None:
    fields = {"kind": kind, "private_key": ssh_server.private_key, "known_hosts": ssh_server.known_hosts}
    on = {"repo": ssh_server.url(repositories / "full")}
    assert (await tried(admin, on, **fields))["ok"]
    assert "empty" in (await tried(admin, {"repo": ssh_server.url(repositories / "empty")}, **fields))["detail"]
    assert not (await tried(admin, on, **fields | {"private_key": ssh_server.stranger_key}))["ok"]
    unknown = await tried(admin, on, kind=kind, private_key=ssh_server.private_key)
    assert not unknown["ok"]
    assert "known_hosts" in unknown["detail"]
    assert not (await tried(admin, {"repo": ssh_server.url(repositories / "absent")}, **fields))["ok"]
    without = await tried(admin, **fields)
    assert without["ok"]
    assert "repo" in without["detail"]


async def test_a_token_is_tried_on_a_git_server(
    admin: httpx.AsyncClient, https_server: HttpsGitServer, repositories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(https_server.certificate))
    on = {"repo": https_server.url(repositories / "full")}
    assert (await tried(admin, on, kind="git", username=USERNAME, token=TOKEN))["ok"]
    assert https_server.fetches == 0, "only the refs are asked for"
    wrong = await tried(admin, on, kind="git", username=USERNAME, token=CANARY)
    assert not wrong["ok"]
    monkeypatch.delenv("SSL_CERT_FILE")
    assert not (await tried(admin, on, kind="git", username=USERNAME, token=TOKEN))["ok"]


# Vault


async def test_an_entrance_to_vault_is_tried(admin: httpx.AsyncClient, vault: OpenBao) -> None:
    vault.policy("tried", "secret/data/tried/*")
    vault.put("secret", "tried/it", {"password": CANARY})
    role, secret = vault.approle("tried", ["tried"])
    ways = [
        {"token": vault.token(["tried"])},
        {"role_id": role, "secret_id": secret, "approle_mount": "tried"},
    ]
    for way in ways:
        fields = {"kind": "hashicorp_vault", "url": vault.url, **way}
        assert (await tried(admin, **fields))["ok"]
        assert (await tried(admin, {"vault_path": "secret/tried/it"}, **fields))["ok"]
        assert not (await tried(admin, {"vault_path": "secret/other"}, **fields))["ok"]
        assert not (await tried(admin, {"vault_path": "secret/tried/none"}, **fields))["ok"]
    for wrong in ({"token": "canary"}, {"role_id": "canary", "secret_id": "canary"}):
        assert not (await tried(admin, kind="hashicorp_vault", url=vault.url, **wrong))["ok"]
    away = await tried(admin, kind="hashicorp_vault", url="http://127.0.0.1:9", token=ROOT_TOKEN)
    assert not away["ok"]


# Clouds


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sts]:
    with sts(tmp_path_factory.mktemp("sts")) as server:
        yield server


async def test_an_access_key_is_tried_by_a_signed_request(admin: httpx.AsyncClient, aws: Sts) -> None:
    good = {"kind": "aws", "access_key_id": aws.access_key_id, "endpoint_url": aws.url}
    assert (await tried(admin, **good, secret_access_key=aws.secret_access_key))["ok"]
    assert (await tried(admin, **good, secret_access_key=aws.secret_access_key, region="eu-west-1"))["ok"]
    wrong = await tried(admin, **good, secret_access_key=CANARY)
    assert not wrong["ok"]
    assert "403" in wrong["detail"]
    assert not (await tried(admin, **good | {"access_key_id": "AKIANOBODY"}, secret_access_key=CANARY))["ok"]


OPENSTACK = {"kind": "openstack", "username": "ansible", "password": CANARY, "project_name": "prod"}


async def test_a_user_of_openstack_is_tried_by_a_token(admin: httpx.AsyncClient, webhook_sink: WebhookSink) -> None:
    base = webhook_sink.url.removesuffix("/hook")
    webhook_sink.answer(Answer(201, {"X-Subject-Token": "canary"}, b'{"token": "canary"}'), 401, 300, 503)
    verdicts = [await tried(admin, **OPENSTACK, auth_url=f"{base}{path}") for path in ("", "/v3", "/id/v3/", "")]
    assert [verdict["ok"] for verdict in verdicts] == [True, False, False, False]
    assert [request.path for request in webhook_sink.requests] == [
        "/v3/auth/tokens",
        "/v3/auth/tokens",
        "/id/v3/auth/tokens",
        "/v3/auth/tokens",
    ]
    sent = json.loads(webhook_sink.requests[0].body)
    assert sent["auth"]["identity"]["password"]["user"]["password"] == CANARY
    assert sent["auth"]["scope"]["project"]["name"] == "prod"


# Galaxy and HTTP

ROOT = Answer(200, {}, b'{"available_versions": {"v3": "v3/"}}')


@pytest.mark.parametrize(
    ("answers", "ok", "last"),
    [
        ([ROOT, 200], True, "/api/v3/collections/?limit=1"),
        ([404, ROOT, 200], True, "/api/api/v3/collections/?limit=1"),
        ([ROOT, 302], True, "/api/v3/collections/?limit=1"),
        ([ROOT, 401], False, "/api/v3/collections/?limit=1"),
        ([ROOT, 500], False, "/api/v3/collections/?limit=1"),
        ([403], False, "/api/"),
        ([404, 404], False, "/api/api/"),
        ([Answer(200, {}, b"canary"), Answer(200, {}, b'{"available_versions": {"v3": "//evil/"}}')], False, None),
        ([Answer(302, {"Location": "http://127.0.0.1:1/"})] * 2, False, "/api/api/"),
    ],
)
async def test_a_token_is_tried_on_a_galaxy_server(
    admin: httpx.AsyncClient, webhook_sink: WebhookSink, answers: list[Answer | int], ok: bool, last: str | None
) -> None:
    webhook_sink.answer(*answers)
    server = webhook_sink.url.replace("/hook", "/api/")
    verdict = await tried(admin, {"galaxy_server": server}, kind="galaxy_token", token=CANARY)
    assert verdict["ok"] is ok
    assert {request.headers["Authorization"] for request in webhook_sink.requests} == {f"Token {CANARY}"}
    assert last is None or webhook_sink.requests[-1].path == last
    assert len(webhook_sink.requests) == len(answers)


async def test_values_for_headers_are_tried_on_a_server(admin: httpx.AsyncClient, webhook_sink: WebhookSink) -> None:
    fields = {"kind": "http", "variables": {"NAME": "canary-${OTHER}", "OTHER": "canary-other"}}
    test = {"url": webhook_sink.url, "headers": {"Authorization": "Bearer ${NAME}", "X-Both": "${OTHER}+${NAME}"}}
    webhook_sink.answer(200, 403, Answer(302, {"Location": webhook_sink.url}), 404)
    verdicts = [await tried(admin, test, **fields) for _ in range(4)]
    assert [verdict["ok"] for verdict in verdicts] == [True, False, False, False]
    assert len(webhook_sink.requests) == 4, "no redirect is followed"
    sent = webhook_sink.requests[0].headers
    assert sent["Authorization"] == "Bearer canary-${OTHER}", "a value is not looked through again"
    assert sent["X-Both"] == "canary-other+canary-${OTHER}"
    assert (await tried(admin, **fields))["ok"]


# What cannot be tried so

PASSWORD = {"kind": "become_password", "password": CANARY}
HTTP = {"kind": "http", "variables": {"A": CANARY}}
TOKEN_OF_GALAXY = {"kind": "galaxy_token", "token": CANARY}
WRONG_TESTS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (PASSWORD, {"repo": "https://git.example.com/a.git"}, ["/repo"]),
    (HTTP, {"headers": {"X": "${A}"}}, ["/url"]),
    (HTTP, {"url": "http://sink.example/", "headers": {"X": "${NONE}"}}, ["/headers/X"]),
    (HTTP, {"url": "http://sink.example/", "headers": {"X/Y": "z"}}, ["/headers/X~1Y"]),
    (HTTP, {"url": "ftp://sink.example/"}, ["/url"]),
    (HTTP, {"url": "http://169.254.169.254/latest/"}, ["/url"]),
    (HTTP, {"url": "http://user:canary@sink.example/"}, ["/url"]),
    (HTTP, {"vault_path": "secret/x", "url": "http://sink.example/"}, ["/vault_path"]),
    (TOKEN_OF_GALAXY, {"galaxy_server": "http://[::ffff:169.254.169.254]/"}, ["/galaxy_server"]),
    (TOKEN_OF_GALAXY, {"galaxy_servre": "http://sink.example/"}, ["/galaxy_servre"]),
    ({"kind": "git", "token": CANARY}, {"repo": "ext::sh -c id"}, ["/repo"]),
    ({"kind": "git", "token": CANARY}, {"repo": "/etc"}, ["/repo"]),
    ({"kind": "git", "token": CANARY}, {"repo": "git://git.example.com/a"}, ["/repo"]),
]


async def test_what_a_credential_cannot_be_tried_on_is_refused_by_place(
    admin: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for fields, test, pointers in WRONG_TESTS:
        with subtests.test(fields=fields["kind"], test=test):
            refused = await asked(admin, test, **fields)
            assert refused.status_code == 422, refused.text
            assert [error["pointer"] for error in refused.json()["errors"]] == pointers


@pytest.mark.parametrize(
    "fields",
    [
        PASSWORD,
        {"kind": "vault_password", "password": CANARY},
        {"kind": "ssh_password", "password": CANARY},
        {"kind": "environment", "variables": {"A": CANARY}},
    ],
)
async def test_what_no_server_can_be_asked_about_opens(admin: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    verdict = await tried(admin, **fields)
    assert verdict["ok"]
    assert "no server" in verdict["detail"]


async def test_a_stored_address_that_may_no_longer_be_reached_is_not_asked(
    api: Api, sqlite_settings: Settings, vault: OpenBao
) -> None:
    """The installation's rules may have changed since a credential was stored."""
    async with api.client(Role.ADMIN) as admin:
        fields = {"kind": "hashicorp_vault", "url": vault.url, "token": ROOT_TOKEN}
        assert (await tried(admin, **fields))["ok"]
    async with started(sqlite_settings) as strict, strict.client(Role.ADMIN) as admin:
        verdict = (await admin.post(f"{CREDENTIALS}/tried/test")).json()
    assert not verdict["ok"]
    assert "loopback" in verdict["detail"]


async def test_only_credentials_of_the_own_team_are_tried(api: Api) -> None:
    async with api.client(Role.ADMIN) as red, api.client(Role.ADMIN, team="blue") as blue:
        await red.put(f"{CREDENTIALS}/mine", json=PASSWORD)
        assert (await red.post(f"{CREDENTIALS}/mine/test")).status_code == 200
        for client, name in ((blue, "mine"), (red, "absent"), (red, "-odd")):
            assert (await client.post(f"{CREDENTIALS}/{name}/test")).status_code == 404
