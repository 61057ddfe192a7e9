"""Credentials by name: replaced, described, and checked where a request names them."""

import asyncio
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import select

from ansible_api.api import examples
from ansible_api.credentials import store
from ansible_api.credentials.model import Credential, Kind
from ansible_api.keys.model import Role
from tests.integration.api.conftest import JOB, Api

pytestmark = pytest.mark.anyio
CREDENTIALS, JOBS = "/api/v1/credentials", "/api/v1/jobs"
CANARY = "canary-of-credentials"
PASSWORD = {"kind": "become_password", "password": CANARY}


# Replacing


async def test_putting_a_credential_stores_it_and_then_replaces_it(api: Api) -> None:
    async with api.client(Role.ADMIN) as client:
        made = await client.put(f"{CREDENTIALS}/prod", json=PASSWORD)
        again = await client.put(
            f"{CREDENTIALS}/prod",
            json={"name": "prod", "kind": "vault_password", "password": "second", "vault_id": "v"},
        )
        listed = (await client.get(CREDENTIALS)).json()["items"]
    assert (made.status_code, again.status_code) == (201, 200)
    assert again.json()["created_at"] == made.json()["created_at"]
    assert again.json()["updated_at"] > made.json()["updated_at"]
    assert [(item["name"], item["kind"]) for item in listed] == [("prod", "vault_password")]
    opened = api.database.read(store.open_fields, api.parts.cipher, "red", "prod")
    assert opened == (Kind.VAULT_PASSWORD, {"password": "second", "vault_id": "v"})
    assert CANARY not in made.text + again.text
    rows = api.database.read(lambda session: session.execute(select(Credential.__table__)).all())
    assert "second" not in str(rows)


async def test_puts_at_the_same_time_leave_one_credential(api: Api) -> None:
    async with api.client(Role.ADMIN) as client:
        bodies = [PASSWORD | {"password": f"{CANARY}-{number}"} for number in range(8)]
        answers = await asyncio.gather(*(client.put(f"{CREDENTIALS}/prod", json=body) for body in bodies))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 7 + [201], [answer.text for answer in answers]
    opened = api.database.read(store.open_fields, api.parts.cipher, "red", "prod")
    assert opened is not None
    assert opened[1] in [{"password": body["password"]} for body in bodies]


async def test_each_team_has_its_own(api: Api) -> None:
    async with api.client(Role.ADMIN) as red, api.client(Role.ADMIN, team="blue") as blue:
        assert (await red.put(f"{CREDENTIALS}/prod", json=PASSWORD)).status_code == 201
        assert (await blue.put(f"{CREDENTIALS}/prod", json=PASSWORD | {"password": "blue"})).status_code == 201
    opened = api.database.read(store.open_fields, api.parts.cipher, "red", "prod")
    assert opened == (Kind.BECOME_PASSWORD, {"password": CANARY})


WRONG_PUTS: list[tuple[str, Any, str]] = [
    ("prod", PASSWORD | {"name": "other"}, "/name"),
    ("prod", PASSWORD | {"name": "-x"}, "/name"),
    ("prod", {"password": CANARY}, "/kind"),
    ("prod", {"kind": CANARY}, "/kind"),
    ("prod", {"kind": "become_password"}, "/password"),
    ("prod", PASSWORD | {"passwrod": CANARY}, "/passwrod"),
    ("prod", {"kind": "http", "variables": {"PATH": CANARY}}, "/variables/PATH"),
    ("prod", {"kind": "http", "variables": {"A": f"{CANARY}\n"}}, "/variables/A"),
    ("prod", {"kind": "galaxy_token", "token": f"{CANARY}\n"}, "/token"),
    ("prod", {"kind": "environment", "variables": {}}, "/variables"),
    ("prod", [CANARY], ""),
    ("-prod", PASSWORD, "/path/name"),
    ("a" * 129, PASSWORD, "/path/name"),
]


async def test_a_wrong_replacement_is_refused_by_place_without_its_value(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client(Role.ADMIN) as client:
        for name, body, pointer in WRONG_PUTS:
            with subtests.test(name=name, body=str(body)[:60]):
                refused = await client.put(f"{CREDENTIALS}/{name}", json=body)
                assert refused.status_code == 422
                assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
                assert CANARY not in refused.text
        assert (await client.get(CREDENTIALS)).json()["items"] == []


# Addresses

AWS = {"kind": "aws", "access_key_id": "AKIA", "secret_access_key": CANARY}
OPENSTACK = {"kind": "openstack", "username": "a", "password": CANARY, "project_name": "p"}
ADDRESSES = [
    ({"kind": "hashicorp_vault", "token": CANARY}, "url"),
    (AWS, "endpoint_url"),
    (OPENSTACK, "auth_url"),
]
FORBIDDEN = [
    "http://127.0.0.1:8200",
    "http://169.254.169.254/",
    "http://[::ffff:127.0.0.1]/",
    "http://localhost:8200",
    "http://2130706433/",
    "https://user:pass@vault.example.com",
]


async def test_addresses_of_credentials_pass_the_egress_rules(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client(Role.ADMIN) as client:
        for fields, name in ADDRESSES:
            for url in FORBIDDEN:
                with subtests.test(kind=fields["kind"], url=url):
                    for refused in (
                        await client.post(CREDENTIALS, json={"name": "x", **fields, name: url}),
                        await client.put(f"{CREDENTIALS}/x", json={**fields, name: url}),
                    ):
                        assert refused.status_code == 422, refused.text
                        assert [error["pointer"] for error in refused.json()["errors"]] == [f"/{name}"]
                        assert CANARY not in refused.text
            taken = await client.put(f"{CREDENTIALS}/x", json={**fields, name: "https://vault.example.com:8200"})
            assert taken.status_code in (200, 201)


# Kinds


async def test_every_kind_is_described_by_a_schema_that_fits(api: Api) -> None:
    async with api.client(Role.SUBMITTER) as client:
        answer = await client.get(f"{CREDENTIALS}/kinds")
    kinds = {item["kind"]: item for item in answer.json()["items"]}
    assert list(kinds) == list(Kind)
    for item in kinds.values():
        Draft202012Validator.check_schema(item["fields"])
        assert item["title"]
        assert item["description"].endswith(".")
        assert item["used_at"]
        assert "name" not in item["fields"]["properties"]
    for example in (example["value"] for example in examples.CREDENTIALS.values()):
        fields = {name: value for name, value in example.items() if name != "name"}
        schema = Draft202012Validator(kinds[example["kind"]]["fields"])
        assert schema.is_valid(fields)
        assert not schema.is_valid(fields | {"unknown": 1})
        for name in fields:
            hidden = '"writeOnly": true' in json.dumps(schema.schema["properties"][name])
            secret = "…" in json.dumps(fields[name], ensure_ascii=False) and name != "known_hosts"
            assert hidden or not secret, (example["kind"], name)
    assert kinds["ssh_key"]["used_at"] == ["/credentials/ssh", "/source/git_credential", "/inventory/git_credential"]
    assert "/credentials/cloud/credential" in kinds["aws"]["used_at"]
    assert "/credentials/ssh/vault_credential" in kinds["hashicorp_vault"]["used_at"]


# Where a request names them

VAULT = {"type": "hashicorp_vault", "vault_path": "secret/ansible/prod"}
ENTRANCE = {"kind": "hashicorp_vault", "url": "https://vault.example.com", "token": CANARY}


def inline(**fields: Any) -> dict[str, Any]:
    return {"type": "inline", "value": fields}


CLOUD = {"type": "dynamic", "plugin": "amazon.aws.aws_ec2"}
URL = {"type": "url", "url": "https://cmdb.example.com/", "credential": "password"}
MISFITS: list[tuple[dict[str, Any], list[str]]] = [
    ({"credentials": {"ssh": "password"}}, ["/credentials/ssh"]),
    ({"credentials": {"become_password": "absent"}}, ["/credentials/become_password"]),
    ({"credentials": {"vault_password": ["absent", "password"]}}, [f"/credentials/vault_password/{n}" for n in (0, 1)]),
    ({"credentials": {"cloud": {"type": "azure", "credential": "aws"}}}, ["/credentials/cloud/credential"]),
    (
        {"credentials": {"cloud": [{"type": "aws", "credential": "aws"}, {"type": "gcp", "credential": "aws"}]}},
        ["/credentials/cloud/1/credential"],
    ),
    ({"credentials": {"environment": ["password"]}}, ["/credentials/environment/0"]),
    ({"inventory": [JOB["inventory"], CLOUD | {"cloud_credential": "password"}]}, ["/inventory/1/cloud_credential"]),
    ({"inventory": URL}, ["/inventory/credential"]),
    ({"source": JOB["source"] | {"galaxy_credential": "password"}}, ["/source/galaxy_credential"]),
    ({"source": JOB["source"] | {"git_credential": "password"}}, ["/source/git_credential"]),
    ({"credentials": {"ssh": VAULT | {"vault_credential": "password"}}}, ["/credentials/ssh/vault_credential"]),
    ({"credentials": {"ssh": VAULT | {"vault_credential": "absent"}}}, ["/credentials/ssh/vault_credential"]),
    ({"credentials": {"ssh": inline(**PASSWORD)}}, ["/credentials/ssh/value/kind"]),
    ({"credentials": {"ssh": {"type": "inline"}}}, ["/credentials/ssh/value"]),
    ({"credentials": {"ssh": inline(kind="ssh_password")}}, ["/credentials/ssh/value/password"]),
    ({"credentials": {"ssh": inline(kind=CANARY)}}, ["/credentials/ssh/value/kind"]),
    ({"credentials": {"ssh": inline(kind="ssh_key", private_key=CANARY)}}, ["/credentials/ssh/value"]),
    ({"credentials": {"ssh": inline(**ENTRANCE)}}, ["/credentials/ssh/value/kind"]),
    (
        {"credentials": {"cloud": {"type": "gcp", "credential": inline(**AWS)}}},
        ["/credentials/cloud/credential/value/kind"],
    ),
    (
        {"credentials": {"cloud": {"type": "aws", "credential": inline(**AWS, endpoint_url="http://169.254.169.254/")}}},
        ["/credentials/cloud/credential/value/endpoint_url"],
    ),
    ({"source": JOB["source"] | {"git_credential": inline(**PASSWORD)}}, ["/source/git_credential/value/kind"]),
]  # fmt: skip


async def test_what_does_not_fit_its_place_is_refused_by_place(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client(Role.ADMIN) as client:
        await client.put(f"{CREDENTIALS}/password", json=PASSWORD)
        await client.put(f"{CREDENTIALS}/aws", json=AWS)
        for parts, pointers in MISFITS:
            with subtests.test(parts=str(parts)[:80]):
                refused = await client.post(JOBS, json=JOB | parts)
                assert refused.status_code == 422, refused.text
                assert [error["pointer"] for error in refused.json()["errors"]] == pointers
                assert CANARY not in refused.text
        assert (await client.get(JOBS)).json()["items"] == []


async def test_a_reference_to_vault_without_credential_means_the_teams_only_one(api: Api) -> None:
    request = JOB | {"credentials": {"ssh": VAULT, "vault_password": [VAULT, VAULT]}}
    places = [f"/credentials/{part}/vault_credential" for part in ("ssh", "vault_password/0", "vault_password/1")]
    async with api.client(Role.ADMIN) as client, api.client(Role.ADMIN, team="blue") as blue:
        await blue.put(f"{CREDENTIALS}/theirs", json=ENTRANCE)
        none = await client.post(JOBS, json=request)
        assert [error["pointer"] for error in none.json()["errors"]] == places
        assert "create one" in none.json()["errors"][0]["detail"]
        assert "theirs" not in none.text
        await client.put(f"{CREDENTIALS}/main", json=ENTRANCE)
        one = await client.post(JOBS, json=request)
        await client.put(f"{CREDENTIALS}/other", json=ENTRANCE)
        several = await client.post(JOBS, json=request)
        named = JOB | {"credentials": {"ssh": VAULT | {"vault_credential": "other"}}}
        assert (await client.post(JOBS, json=named)).status_code == 202
    assert one.status_code == 202
    assert several.status_code == 422
    assert [error["pointer"] for error in several.json()["errors"]] == places
    assert "main, other" in several.json()["errors"][0]["detail"]
