"""Credentials, API keys and signing secrets."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ansible_api.credentials import store
from ansible_api.keys.model import Role
from tests.integration.api.conftest import JOB, Api

pytestmark = pytest.mark.anyio
CREDENTIALS, KEYS, SECRETS = "/api/v1/credentials", "/api/v1/keys", "/api/v1/webhook-secrets"
CANARY = "hunter2-canary"


async def test_a_credential_is_stored_sealed_and_never_comes_back(api: Api, ssh_key: str) -> None:
    async with api.client(Role.ADMIN) as client:
        made = await client.post(
            CREDENTIALS, json={"name": "deploy", "kind": "ssh_key", "private_key": ssh_key, "username": "ops"}
        )
        assert made.status_code == 201, made.text
        listed = await client.get(CREDENTIALS)
        used = await client.post("/api/v1/jobs", json=JOB | {"credentials": {"ssh": "deploy"}})
    assert [(item["name"], item["kind"]) for item in listed.json()["items"]] == [("deploy", "ssh_key")]
    assert "PRIVATE" not in made.text + listed.text + used.text
    assert used.status_code == 202
    opened = api.database.read(store.open_fields, api.parts.cipher, "red", "deploy")
    assert opened is not None
    assert (opened[0], set(opened[1])) == ("ssh_key", {"private_key", "username"})


async def test_names_are_unique_in_a_team_and_free_again_after_removal(api: Api) -> None:
    new = {"name": "vault", "kind": "vault_password", "password": CANARY}
    async with api.client(Role.ADMIN) as client, api.client(Role.ADMIN, team="blue") as other:
        assert (await client.post(CREDENTIALS, json=new)).status_code == 201
        taken = await client.post(CREDENTIALS, json=new)
        assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
        assert CANARY not in taken.text
        assert (await other.delete(f"{CREDENTIALS}/vault")).status_code == 404
        assert (await other.post(CREDENTIALS, json=new)).status_code == 201
        assert (await client.delete(f"{CREDENTIALS}/vault")).status_code == 204
        assert (await client.delete(f"{CREDENTIALS}/vault")).status_code == 404
        assert (await client.post(CREDENTIALS, json=new)).status_code == 201
        assert len((await other.get(CREDENTIALS)).json()["items"]) == 1


WRONG_CREDENTIALS: list[tuple[dict[str, Any], str]] = [
    ({"name": "a", "kind": "ssh_key", "private_key": CANARY}, ""),
    ({"name": "a", "kind": "git"}, ""),
    ({"name": "a", "kind": "git", "token": CANARY, "private_key": CANARY}, ""),
    ({"name": "-a", "kind": "vault_password", "password": CANARY}, "/name"),
    ({"name": "a", "kind": "vault_password"}, "/password"),
    ({"name": "a", "kind": "vault_password", "password": CANARY, "passwrod": CANARY}, "/passwrod"),
    ({"name": "a", "kind": CANARY}, "/kind"),
    ({"name": "a"}, "/kind"),
]


async def test_a_wrong_credential_is_refused_without_saying_its_value(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client(Role.ADMIN) as client:
        for new, pointer in WRONG_CREDENTIALS:
            with subtests.test(fields=sorted(new), pointer=pointer):
                refused = await client.post(CREDENTIALS, json=new)
                assert refused.status_code == 422
                assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
                assert CANARY not in refused.text


async def test_a_key_is_shown_once_works_and_is_refused_when_revoked(api: Api) -> None:
    async with api.client(Role.ADMIN) as admin:
        made = await admin.post(KEYS, json={"name": "ci", "role": "viewer"})
        assert made.status_code == 201, made.text
        assert made.headers["cache-control"] == "no-store"
        key = made.json()["key"]
        listed = await admin.get(KEYS)
        assert key not in listed.text
        async with api.client(key=key) as client:
            assert (await client.get("/api/v1/jobs")).status_code == 200
            assert (await client.post("/api/v1/jobs", json=JOB)).status_code == 403
            assert (await admin.delete(made.headers["location"])).status_code == 204
            revoked = await client.get("/api/v1/jobs")
        assert (await admin.delete(made.headers["location"])).status_code == 204
        assert (await admin.delete(f"{KEYS}/absent")).status_code == 404
    assert (revoked.status_code, revoked.json()["code"]) == (401, "unauthenticated")


async def test_an_expired_key_is_refused(api: Api) -> None:
    async with api.client(key=api.key(expires_at=datetime.now(UTC) - timedelta(seconds=1))) as client:
        refused = await client.get("/api/v1/jobs")
    assert refused.status_code == 401


async def test_an_admin_sees_and_revokes_keys_of_its_own_team_only(api: Api) -> None:
    async with api.client(Role.ADMIN, team="red") as red, api.client(Role.ADMIN, team="blue") as blue:
        made = (await red.post(KEYS, json={"name": "ci"})).json()
        assert made["team"] == "red"
        assert made["role"] == "submitter"
        assert made["id"] not in (await blue.get(KEYS)).text
        assert (await blue.delete(f"{KEYS}/{made['id']}")).status_code == 404
        async with api.client(key=made["key"]) as client:
            assert (await client.get("/api/v1/jobs")).status_code == 200


WRONG_KEYS: list[tuple[dict[str, Any], str]] = [
    ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
    ({"name": "x", "expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
    ({"name": "x", "expires_at": "9999-12-31T23:59:59-14:00"}, "/expires_at"),
    ({"name": "x", "role": "root"}, "/role"),
    ({"name": "x", "queues": ["delivery"]}, "/queues"),
    ({"name": "x", "queues": ["nowhere"]}, "/queues/0"),
    ({"name": ""}, "/name"),
    ({"name": "x", "team": "blue"}, "/team"),
]


async def test_a_wrong_key_request_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client(Role.ADMIN) as client:
        for new, pointer in WRONG_KEYS:
            with subtests.test(new=new):
                refused = await client.post(KEYS, json=new)
                assert refused.status_code == 422
                assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_the_two_newest_signing_secrets_sign_and_are_shown_once(api: Api) -> None:
    async with api.client(Role.ADMIN) as client, api.client(Role.ADMIN, team="blue") as other:
        made = [(await client.post(SECRETS)).json() for _ in range(3)]
        listed = await client.get(SECRETS)
        assert (await other.get(SECRETS)).json() == {"items": []}
    assert all(secret["secret"].startswith("whsec_") for secret in made)
    assert {item["id"] for item in listed.json()["items"]} < {secret["id"] for secret in made}
    assert len(listed.json()["items"]) == 2
    assert "whsec_" not in listed.text
