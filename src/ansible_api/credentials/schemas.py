"""The fields of each kind of credential, and what is answered about one: never a value."""

from datetime import datetime
from typing import Annotated, Literal, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, StringConstraints, model_validator

from ansible_api.credentials.model import Kind

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=128)]
Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_.@-]*$", max_length=128)]
Value = Annotated[SecretStr, Field(min_length=1, max_length=65_536)]
KnownHosts = Annotated[str, StringConstraints(max_length=65_536)]


class CredentialModel(BaseModel):
    """A credential to be stored. Unknown fields are refused; values never appear in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Name


class WithKey(CredentialModel):
    """A private key, kept without its passphrase: it is encrypted anew by us."""

    @staticmethod
    def opened(private_key: SecretStr, passphrase: SecretStr | None) -> SecretStr:
        """The key in OpenSSH form without passphrase; ValueError says what is wrong."""
        data = private_key.get_secret_value().strip().encode() + b"\n"
        password = passphrase.get_secret_value().encode() if passphrase else None
        load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
        try:
            key = load(data, password)
            return SecretStr(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(
                "not a private key that opens: give OpenSSH or PEM text, with its passphrase if it has one"
            ) from None


class SshKeyCredential(WithKey):
    """A key for SSH: to managed hosts, or to a git server."""

    kind: Literal[Kind.SSH_KEY]
    private_key: Value
    passphrase: Value | None = None
    username: Username | None = None
    known_hosts: KnownHosts | None = None

    @model_validator(mode="after")
    def _opens(self) -> Self:
        self.opened(self.private_key, self.passphrase)
        return self


class BecomePasswordCredential(CredentialModel):
    """The password that becomes another user on managed hosts."""

    kind: Literal[Kind.BECOME_PASSWORD]
    password: Value


class VaultPasswordCredential(CredentialModel):
    """The password of Ansible Vault."""

    kind: Literal[Kind.VAULT_PASSWORD]
    password: Value


class GitCredential(WithKey):
    """What opens a git repository: a private key for ssh, or user and token for https."""

    kind: Literal[Kind.GIT]
    private_key: Value | None = None
    passphrase: Value | None = None
    known_hosts: KnownHosts | None = None
    username: Username | None = None
    token: Value | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.private_key is None) == (self.token is None):
            raise ValueError("give private_key (for ssh) or token with username (for https)")
        if self.private_key is not None:
            self.opened(self.private_key, self.passphrase)
        return self


AnyCredential = SshKeyCredential | BecomePasswordCredential | VaultPasswordCredential | GitCredential


class NewCredential(RootModel[Annotated[AnyCredential, Field(discriminator="kind")]]):
    """The request that stores a credential: its name, its kind and the fields of that kind."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class CredentialView(BaseModel):
    """What is told of a stored credential."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    kind: Kind
    created_at: datetime
    updated_at: datetime


class CredentialList(BaseModel):
    items: list[CredentialView]


def revealed(credential: AnyCredential) -> dict[str, object]:
    """The fields in clear, for sealing only."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in credential
        if value is not None and name != "name"
    }
