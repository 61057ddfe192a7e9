"""The fields of each kind of credential: what a stored credential holds, and what a request may carry for one job."""

import json
import ssl
from typing import Annotated, Any, Literal, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.x509 import load_pem_x509_certificates
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from ansible_api.credentials.key_cost import check_cost
from ansible_api.credentials.model import Kind
from ansible_api.credentials.text import (
    HeaderSecret,
    KnownHosts,
    Region,
    Text,
    Username,
    Value,
    VariableName,
    VaultId,
    WebUrl,
    Word,
)


class Part(BaseModel):
    """A part of a request. Unknown fields are refused; values never appear in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class Fields(Part):
    """What a credential holds."""

    kind: Any


class WithKey(Fields):
    """A private key, kept without its passphrase: it is encrypted anew by us."""

    @staticmethod
    def opened(private_key: SecretStr, passphrase: SecretStr | None) -> SecretStr:
        """The key in OpenSSH form without passphrase; ValueError says what is wrong."""
        data = private_key.get_secret_value().strip().encode() + b"\n"
        password = passphrase.get_secret_value().encode() if passphrase else None
        check_cost(data)
        load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
        try:
            # Unchecked, as a check of large primes takes minutes: it is only written anew here, and ssh has its own.
            key = load(data, password, unsafe_skip_rsa_key_validation=True)
            return SecretStr(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(
                "not a private key that opens: give OpenSSH or PEM text, with its passphrase if it has one"
            ) from None


class SshKeyFields(WithKey):
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


class SshPasswordFields(Fields):
    """A password for SSH to managed hosts."""

    kind: Literal[Kind.SSH_PASSWORD]
    password: Value
    username: Username | None = None
    known_hosts: KnownHosts | None = None


class BecomePasswordFields(Fields):
    """The password that becomes another user on managed hosts."""

    kind: Literal[Kind.BECOME_PASSWORD]
    password: Value


class VaultPasswordFields(Fields):
    """The password of Ansible Vault, for one vault id."""

    kind: Literal[Kind.VAULT_PASSWORD]
    password: Value
    vault_id: VaultId = "default"


class GitFields(WithKey):
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


class GalaxyTokenFields(Fields):
    """The API token of a Galaxy server or Automation Hub."""

    kind: Literal[Kind.GALAXY_TOKEN]
    token: HeaderSecret


class AwsFields(Fields):
    """An access key of Amazon Web Services, or of what speaks its API."""

    kind: Literal[Kind.AWS]
    access_key_id: Word
    secret_access_key: Value
    session_token: Value | None = None
    region: Region | None = None
    endpoint_url: WebUrl | None = Field(None, description="another API than Amazon's")


class AzureFields(Fields):
    """A service principal of Microsoft Azure."""

    kind: Literal[Kind.AZURE]
    tenant: Word
    client_id: Word
    client_secret: Value
    subscription_id: Word | None = None


class GcpFields(Fields):
    """A service account of Google Cloud: its key file."""

    kind: Literal[Kind.GCP]
    service_account: Value = Field(description="the JSON text of the key file")
    project: Word | None = None

    @model_validator(mode="after")
    def _is_key_file(self) -> Self:
        try:
            document = json.loads(self.service_account.get_secret_value())
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not {"client_email", "private_key"} <= document.keys():
            raise ValueError("service_account: give the JSON text of a service account's key file")
        return self


class OpenstackFields(Fields):
    """A user, or an application credential, of an OpenStack cloud."""

    kind: Literal[Kind.OPENSTACK]
    auth_url: WebUrl
    username: Text | None = None
    password: Value | None = None
    project_name: Text | None = None
    user_domain_name: Text = "Default"
    project_domain_name: Text = "Default"
    application_credential_id: Word | None = None
    application_credential_secret: Value | None = None
    region_name: Word | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        user = self.username is not None and self.password is not None and self.project_name is not None
        application = self.application_credential_id is not None and self.application_credential_secret is not None
        if user == application:
            raise ValueError("give username, password and project_name, or application_credential_id and its secret")
        return self


class HashicorpVaultFields(Fields):
    """How to enter a HashiCorp Vault: a token, or an AppRole."""

    kind: Literal[Kind.HASHICORP_VAULT]
    url: WebUrl
    token: HeaderSecret | None = None
    role_id: Value | None = None
    secret_id: Value | None = None
    approle_mount: Word = "approle"
    namespace: Word | None = None
    ca_certificate: Annotated[str, StringConstraints(max_length=65_536)] | None = Field(None, description="PEM text")
    kv_version: Literal[1, 2] | None = Field(
        None, description="of the secrets' mounts; asked of the server when absent"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.token is None) == (self.role_id is None):
            raise ValueError("give token, or role_id with its secret_id")
        if self.secret_id is not None and self.role_id is None:
            raise ValueError("secret_id goes with role_id")
        return self

    @model_validator(mode="after")
    def _has_certificates(self) -> Self:
        if self.ca_certificate is not None:
            try:
                load_pem_x509_certificates(self.ca_certificate.encode())
                ssl.create_default_context(cadata=self.ca_certificate)  # OpenSSL may still not like them
            except (ValueError, ssl.SSLError):
                raise ValueError("ca_certificate: give one or several certificates as PEM text") from None
        return self


class HttpFields(Fields):
    """Named values for the headers of HTTP requests: ${NAME} stands for one."""

    kind: Literal[Kind.HTTP]
    variables: dict[VariableName, HeaderSecret] = Field(min_length=1, max_length=50)


class EnvironmentFields(Fields):
    """Environment variables of the play."""

    kind: Literal[Kind.ENVIRONMENT]
    variables: dict[VariableName, Value] = Field(min_length=1, max_length=50)


AnyFields = Annotated[
    SshKeyFields
    | SshPasswordFields
    | BecomePasswordFields
    | VaultPasswordFields
    | GitFields
    | GalaxyTokenFields
    | AwsFields
    | AzureFields
    | GcpFields
    | OpenstackFields
    | HashicorpVaultFields
    | HttpFields
    | EnvironmentFields,
    Field(discriminator="kind"),
]
KINDS: dict[Kind, type[Fields]] = {
    Kind.SSH_KEY: SshKeyFields,
    Kind.SSH_PASSWORD: SshPasswordFields,
    Kind.BECOME_PASSWORD: BecomePasswordFields,
    Kind.VAULT_PASSWORD: VaultPasswordFields,
    Kind.GIT: GitFields,
    Kind.GALAXY_TOKEN: GalaxyTokenFields,
    Kind.AWS: AwsFields,
    Kind.AZURE: AzureFields,
    Kind.GCP: GcpFields,
    Kind.OPENSTACK: OpenstackFields,
    Kind.HASHICORP_VAULT: HashicorpVaultFields,
    Kind.HTTP: HttpFields,
    Kind.ENVIRONMENT: EnvironmentFields,
}


def is_secret(kind: Kind, name: str) -> bool:
    """Whether a field of a kind is a secret."""
    return "SecretStr" in str(KINDS[kind].model_fields[name].annotation)


def revealed(fields: Fields) -> dict[str, object]:
    """The fields in clear as JSON values, for sealing only; without the kind and what was not given."""
    return {name: _plain(value) for name, value in fields if value is not None and name not in ("kind", "name")}


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
