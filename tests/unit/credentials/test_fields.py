"""The fields of every kind: one that is right, and its bad twins."""

import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import TypeAdapter, ValidationError

from ansible_api.credentials.addresses import ADDRESSES
from ansible_api.credentials.fields import KINDS, AnyFields, is_secret, revealed
from ansible_api.credentials.model import Kind

FIELDS = TypeAdapter[Any](AnyFields)
CANARY = "canary"
KEY = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
GOOD: dict[Kind, dict[str, Any]] = {
    Kind.SSH_KEY: {"private_key": KEY, "username": "deploy", "known_hosts": "h ssh-ed25519 AAAA"},
    Kind.SSH_PASSWORD: {"password": CANARY, "username": "deploy"},
    Kind.BECOME_PASSWORD: {"password": CANARY},
    Kind.VAULT_PASSWORD: {"password": CANARY, "vault_id": "prod"},
    Kind.GIT: {"token": CANARY, "username": "x-access-token"},
    Kind.GALAXY_TOKEN: {"token": CANARY},
    Kind.AWS: {"access_key_id": "AKIA", "secret_access_key": CANARY, "region": "us-gov-west-1"},
    Kind.AZURE: {"tenant": "contoso.example", "client_id": "5d1c", "client_secret": CANARY},
    Kind.GCP: {"service_account": '{"client_email": "a@b", "private_key": "canary"}', "project": "prod"},
    Kind.OPENSTACK: {"auth_url": "https://k.example/v3", "username": "a", "password": CANARY, "project_name": "p"},
    Kind.HASHICORP_VAULT: {"url": "https://v.example:8200", "token": CANARY, "namespace": "ops/eu", "kv_version": 1},
    Kind.HTTP: {"variables": {"CMDB_TOKEN": CANARY}},
    Kind.ENVIRONMENT: {"variables": {"TOKEN": f"{CANARY}\nof two lines", "_B2": "x"}},
}
ABSENT: Any = object()
BAD: list[tuple[Kind, dict[str, Any]]] = [
    (Kind.SSH_KEY, {"private_key": ABSENT}),
    (Kind.SSH_KEY, {"private_key": CANARY}),
    (Kind.SSH_KEY, {"username": "a b"}),
    (Kind.SSH_KEY, {"username": "-oProxyCommand=id"}),
    (Kind.SSH_KEY, {"known_hosts": "x" * 65_537}),
    (Kind.SSH_PASSWORD, {"password": ""}),
    (Kind.SSH_PASSWORD, {"password": f"{CANARY}\0more"}),
    (Kind.ENVIRONMENT, {"variables": {"A": f"{CANARY}\0--bind\0/\0/mnt"}}),
    (Kind.HTTP, {"variables": {"A": f"{CANARY}\0"}}),
    (Kind.AWS, {"session_token": "\0"}),
    (Kind.GCP, {"service_account": '{"client_email": "a@b", "private_key": "canary"}\0'}),
    (Kind.SSH_PASSWORD, {"password": 1234}),
    (Kind.SSH_PASSWORD, {"private_key": KEY}),
    (Kind.BECOME_PASSWORD, {"password": ABSENT}),
    (Kind.BECOME_PASSWORD, {"password": "x" * 65_537}),
    (Kind.BECOME_PASSWORD, {"password": ["canary"]}),
    (Kind.VAULT_PASSWORD, {"vault_id": "@prompt"}),
    (Kind.VAULT_PASSWORD, {"vault_id": "a@b"}),
    (Kind.VAULT_PASSWORD, {"vault_id": ""}),
    (Kind.GIT, {"private_key": KEY}),
    (Kind.GIT, {"token": ABSENT}),
    (Kind.GIT, {"token": ABSENT, "private_key": CANARY}),
    (Kind.GALAXY_TOKEN, {"token": f"{CANARY}\n"}),
    (Kind.GALAXY_TOKEN, {"token": f"{CANARY}\r\nX: y"}),
    (Kind.GALAXY_TOKEN, {"token": "canary-é"}),
    (Kind.AWS, {"region": "evil.example/"}),
    (Kind.AWS, {"region": "US EAST"}),
    (Kind.AWS, {"region": "us-east-1.evil"}),
    (Kind.AWS, {"access_key_id": "A\nB"}),
    (Kind.AWS, {"endpoint_url": "file:///etc/passwd"}),
    (Kind.AWS, {"endpoint_url": "canary"}),
    (Kind.AZURE, {"tenant": ABSENT}),
    (Kind.AZURE, {"client_id": "a b"}),
    (Kind.GCP, {"service_account": CANARY}),
    (Kind.GCP, {"service_account": "[]"}),
    (Kind.GCP, {"service_account": '{"client_email": "canary"}'}),
    (Kind.GCP, {"service_account": {"client_email": "canary", "private_key": "canary"}}),
    (Kind.OPENSTACK, {"auth_url": ABSENT}),
    (Kind.OPENSTACK, {"project_name": ABSENT}),
    (Kind.OPENSTACK, {"application_credential_id": "a", "application_credential_secret": CANARY}),
    (Kind.OPENSTACK, {"username": "a\x00b"}),
    (Kind.HASHICORP_VAULT, {"url": "vault.example"}),
    (Kind.HASHICORP_VAULT, {"url": "https://v.example/ canary"}),
    (Kind.HASHICORP_VAULT, {"token": ABSENT}),
    (Kind.HASHICORP_VAULT, {"token": f"{CANARY}\n"}),
    (Kind.HASHICORP_VAULT, {"role_id": CANARY}),
    (Kind.HASHICORP_VAULT, {"secret_id": CANARY}),
    (Kind.HASHICORP_VAULT, {"namespace": "a\nb"}),
    (Kind.HASHICORP_VAULT, {"kv_version": 3}),
    (Kind.HASHICORP_VAULT, {"ca_certificate": CANARY}),
    (Kind.HASHICORP_VAULT, {"ca_certificate": ""}),
    (Kind.HASHICORP_VAULT, {"ca_certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}),
    (Kind.HASHICORP_VAULT, {"ca_certificate": KEY}),
    (Kind.HTTP, {"variables": {}}),
    (Kind.HTTP, {"variables": {"A-B": CANARY}}),
    (Kind.HTTP, {"variables": {"A": f"{CANARY}\r\nX-Admin: 1"}}),
    (Kind.HTTP, {"variables": {"A": f" {CANARY}"}}),
    (Kind.HTTP, {"variables": {f"A{number}": CANARY for number in range(51)}}),
    (Kind.ENVIRONMENT, {"variables": {"LD_PRELOAD": CANARY}}),
    (Kind.ENVIRONMENT, {"variables": {"PYTHONPATH": CANARY}}),
    (Kind.ENVIRONMENT, {"variables": {"ANSIBLE_CONFIG": CANARY}}),
    (Kind.ENVIRONMENT, {"variables": {"ANSIBLE_API_MASTER_KEY": CANARY}}),
    (Kind.ENVIRONMENT, {"variables": {"1A": CANARY}}),
    (Kind.ENVIRONMENT, {"variables": {"A=B": CANARY}}),
    *((kind, {"surprise": CANARY}) for kind in Kind),
]


def validated(kind: Kind, **changes: Any) -> Any:
    fields = {name: value for name, value in (GOOD[kind] | changes).items() if value is not ABSENT}
    return FIELDS.validate_json(json.dumps({"kind": kind, **fields}))


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_is_taken_kept_whole_and_printed_without_its_secrets(kind: Kind) -> None:
    fields = validated(kind)
    assert isinstance(fields, KINDS[kind])
    assert "canary" not in repr(fields) + str(fields)
    kept = revealed(fields)
    assert {name: kept[name] for name in GOOD[kind]} == GOOD[kind]
    assert FIELDS.validate_json(json.dumps({"kind": kind, **kept})) == fields


@pytest.mark.parametrize(
    ("kind", "changes"), BAD, ids=lambda value: re.sub(r"<object object at \w+>", "gone", str(value))[:40]
)
def test_each_bad_twin_is_refused_without_its_value(kind: Kind, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        validated(kind, **changes)
    told = caught.value.errors(include_url=False, include_input=False, include_context=False)
    assert "canary" not in str([item["msg"] for item in told])


@pytest.mark.parametrize("kind", Kind)
def test_values_that_must_stay_hidden_are_marked_in_the_schema(kind: Kind) -> None:
    properties = KINDS[kind].model_json_schema()["properties"]
    for name, schema in properties.items():
        assert is_secret(kind, name) == ('"writeOnly": true' in json.dumps(schema)), name
    assert any(is_secret(kind, name) for name in properties)


def test_every_address_field_exists_and_is_an_address() -> None:
    for kind, name in ADDRESSES.items():
        assert '"format": "uri"' in json.dumps(KINDS[kind].model_json_schema()["properties"][name])
    urls = {
        (kind, name)
        for kind in Kind
        for name, schema in KINDS[kind].model_json_schema()["properties"].items()
        if '"format": "uri"' in json.dumps(schema)
    }
    assert urls == set(ADDRESSES.items()), "an address that nobody checks"
