"""What a request for a credential may say; values never come back."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr, ValidationError

from ansible_api.credentials.fields import WithKey, revealed
from ansible_api.credentials.schemas import NewCredential

PASSPHRASE = "canary-passphrase"
KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "rsa": rsa.generate_private_key(65537, 2048),
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
}
FORMATS = {"OpenSSH": PrivateFormat.OpenSSH, "PKCS8": PrivateFormat.PKCS8}


def text_of(kind: str, form: str = "OpenSSH", passphrase: str | None = None) -> str:
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return KEYS[kind].private_bytes(Encoding.PEM, FORMATS[form], encryption).decode()


def new(**fields: Any) -> NewCredential:
    return NewCredential.model_validate_json(json.dumps({"name": "a", **fields}))


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_private_keys_of_each_kind_and_form_open_with_and_without_passphrase(
    kind: str, form: str, passphrase: str | None
) -> None:
    text = text_of(kind, form, passphrase)
    new(kind="ssh_key", private_key=text, **({"passphrase": passphrase} if passphrase else {}))
    opened = WithKey.opened(SecretStr(text), SecretStr(passphrase) if passphrase else None).get_secret_value()
    assert opened.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert WithKey.opened(SecretStr(opened), None)


@pytest.mark.parametrize("ends", ["\r\n", "\n\n", ""])
def test_line_ends_of_a_key_do_not_matter(ends: str) -> None:
    text = ends.join(text_of("ed25519").splitlines()) if ends.strip() else text_of("ed25519").strip() + ends
    assert new(kind="git", private_key=text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"private_key": "canary-key" * 20}, "not a private key that opens"),
        ({"private_key": text_of("ed25519", passphrase=PASSPHRASE)}, "with its passphrase"),
        ({"private_key": text_of("rsa", "PKCS8", PASSPHRASE), "passphrase": "canary-wrong"}, "with its passphrase"),
        ({"private_key": text_of("ed25519", passphrase=PASSPHRASE), "passphrase": "canary-wrong"}, "passphrase"),
    ],
)
def test_a_key_that_does_not_open_is_refused_without_being_shown(fields: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        new(kind="ssh_key", **fields)
    for told in (
        str(caught.value),
        repr(caught.value.errors(include_url=False, include_input=False, include_context=False)),
    ):
        assert "canary" not in told
        assert fields["private_key"][-60:] not in told


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "git"},
        {"kind": "git", "token": "canary", "private_key": text_of("ed25519")},
        {"kind": "vault_password", "password": ""},
        {"kind": "vault_password", "password": "canary", "hint": "canary"},
        {"kind": "nothing", "password": "canary"},
        {"kind": "git", "token": "canary", "username": "-oProxyCommand=id"},
        {"kind": "become_password", "password": "canary", "name": "../canary"},
    ],
)
def test_credentials_that_are_not_one_of_the_forms_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        new(**fields)


def test_values_are_redacted_until_they_are_revealed_for_sealing() -> None:
    credential = new(kind="git", username="robot", token="canary-token")
    assert "canary" not in repr(credential)
    assert revealed(credential.root) == {"username": "robot", "token": "canary-token"}


def test_a_key_file_nested_without_end_is_refused_with_words() -> None:
    with pytest.raises(ValidationError, match="give the JSON text of a service account's key file"):
        new(kind="gcp", service_account="[" * 60_000)
