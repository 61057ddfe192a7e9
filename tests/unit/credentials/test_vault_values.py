"""Which values of a Vault secret are taken, by place, key and content."""

from typing import Any

import pytest
from tests.unit.credentials.test_fields import KEY

from ansible_api.credentials.model import Kind
from ansible_api.credentials.vault_values import COMPANIONS, DEFAULT_KEYS, fields_of
from ansible_api.errors import JobError

SSH, BECOME, VAULT = (f"/credentials/{name}" for name in ("ssh", "become_password", "vault_password"))


def taken(place: str, secret: dict[str, Any], key: str | None = None) -> tuple[Kind, dict[str, object]]:
    return fields_of(place, "secret/x", key, secret)


@pytest.mark.parametrize(
    ("place", "key", "secret", "kind", "fields"),
    [
        (BECOME, None, {"password": "p", "become_password": "b"}, Kind.BECOME_PASSWORD, {"password": "b"}),
        (BECOME, "password", {"password": "p", "become_password": "b"}, Kind.BECOME_PASSWORD, {"password": "p"}),
        (BECOME, None, {"sudo": "s"}, Kind.BECOME_PASSWORD, {"password": "s"}),
        (BECOME, None, {"password": KEY}, Kind.BECOME_PASSWORD, {"password": KEY}),
        (VAULT, None, {"pw": "v", "vault_id": "dev"}, Kind.VAULT_PASSWORD, {"password": "v", "vault_id": "dev"}),
        (f"{VAULT}/3", None, {"password": "v"}, Kind.VAULT_PASSWORD, {"password": "v", "vault_id": "default"}),
        (SSH, None, {"password": "p", "username": "u"}, Kind.SSH_PASSWORD, {"password": "p", "username": "u"}),
        (SSH, None, {"password": "p", "username": None}, Kind.SSH_PASSWORD, {"password": "p"}),
        (SSH, None, {"private_key": KEY, "password": "p"}, Kind.SSH_KEY, {"private_key": KEY}),
        (SSH, "password", {"private_key": KEY, "password": "p"}, Kind.SSH_PASSWORD, {"password": "p"}),
        (SSH, "pem", {"pem": "\n" + KEY}, Kind.SSH_KEY, {"private_key": "\n" + KEY}),
        (SSH, "value", {"value": "p", "x": "y"}, Kind.SSH_PASSWORD, {"password": "p"}),
        (SSH, "username", {"username": "u"}, Kind.SSH_PASSWORD, {"password": "u"}),
    ],
)
def test_the_value_that_is_meant_with_what_goes_with_it(
    place: str, key: str | None, secret: dict[str, Any], kind: Kind, fields: dict[str, object]
) -> None:
    assert taken(place, secret, key) == (kind, fields)


@pytest.mark.parametrize(
    ("place", "key", "secret", "code", "words"),
    [
        (BECOME, "other", {"a": "canary"}, "vault_key_not_found", "only 'a'"),
        (BECOME, None, {"b": "canary", "a": "canary"}, "vault_key_not_found", "which has 'a', 'b'"),
        (BECOME, None, {}, "vault_key_not_found", "no values"),
        (SSH, None, {"username": "canary"}, "vault_key_not_found", "'username'"),
        (BECOME, None, {"x" * 500: "canary", "y": "canary"}, "vault_key_not_found", "x" * 64),
        (BECOME, None, {f"k{n:02}": "canary" for n in range(30)}, "vault_key_not_found", "'k19' and more"),
        (BECOME, None, {"password": 12}, "vault_value_invalid", "'password': "),
        (BECOME, None, {"password": None}, "vault_value_invalid", "'password': "),
        (SSH, "deploy_key", {"deploy_key": "canary"}, "vault_value_invalid", "not a private key"),
        (SSH, "id_rsa", {"id_rsa": "canary"}, "vault_value_invalid", "not a private key"),
        (SSH, None, {"pem": "-----BEGIN canary"}, "vault_value_invalid", "not a private key"),
        (SSH, None, {"private_key": KEY, "username": "-canary"}, "vault_value_invalid", "'username': "),
        (SSH, None, {"private_key": KEY, "known_hosts": ["canary"]}, "vault_value_invalid", "'known_hosts': "),
        (VAULT, None, {"password": "canary", "vault_id": "a canary"}, "vault_value_invalid", "'vault_id': "),
    ],
)
def test_what_does_not_fit_is_named_and_never_quoted(
    place: str, key: str | None, secret: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(JobError) as caught:
        taken(place, secret, key)
    assert (caught.value.job_code, caught.value.retryable) == (code, False)
    assert words in caught.value.detail
    assert "canary" not in caught.value.detail
    assert len(caught.value.detail) < 600


def test_every_place_that_takes_secrets_of_vault_has_its_names() -> None:
    assert set(DEFAULT_KEYS) == set(COMPANIONS) == {"ssh", "become_password", "vault_password"}
