"""How a request names credentials: stored ones, places in HashiCorp Vault, or values for this job alone."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from ansible_api.credentials.fields import AnyFields, Part
from ansible_api.credentials.model import Kind

VAULT_PATH = r"^[A-Za-z0-9_][A-Za-z0-9_.@+ -]*(/[A-Za-z0-9_][A-Za-z0-9_.@+ -]*)+$"


VaultPath = Annotated[str, StringConstraints(pattern=VAULT_PATH, max_length=512)]
CredentialName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=128)]


class Ref(Part):
    """How a request names something: wrong types are refused, never converted."""

    model_config = ConfigDict(strict=True)


class HashicorpVaultRef(Ref):
    """A secret that lies in HashiCorp Vault."""

    type: Literal["hashicorp_vault"]
    vault_path: VaultPath = Field(description="mount and path, as `vault kv get` takes them: secret/ansible/prod-ssh")
    vault_key: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        None, description="which value of the secret; the only one, or the one named like the field, when absent"
    )
    vault_credential: CredentialName | None = Field(
        None, description="a credential of kind hashicorp_vault; the team's only one when absent"
    )


class InlineCredential(Ref):
    """Secret values for this job alone: sealed beside the job, wiped at its end, never shown."""

    type: Literal["inline"]
    value: AnyFields | None = Field(None, exclude=True, description="the kind and its fields, as in POST /credentials")


class CloudRef(Ref):
    """A cloud account, given to inventory plugins and to the play."""

    type: Literal["aws", "azure", "gcp", "openstack"]
    credential: CredentialName | InlineCredential


NamedRef = CredentialName | InlineCredential
SecretRef = CredentialName | Annotated[HashicorpVaultRef | InlineCredential, Field(discriminator="type")]
AnyRef = CredentialName | HashicorpVaultRef | InlineCredential


class Credentials(Ref):
    """What opens the managed hosts, and what the play finds in its environment."""

    ssh: SecretRef | None = None
    become_password: SecretRef | None = None
    vault_password: SecretRef | Annotated[list[SecretRef], Field(min_length=1, max_length=20)] | None = Field(
        None, description="one, or several with vault ids of their own"
    )
    cloud: CloudRef | Annotated[list[CloudRef], Field(min_length=1, max_length=4)] | None = None
    environment: NamedRef | Annotated[list[NamedRef], Field(min_length=1, max_length=20)] | None = Field(
        None, description="credentials whose variables the play gets"
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request names at a place (JSON Pointer), and the kinds of credential that fit there."""

    place: str
    ref: AnyRef
    fitting: frozenset[Kind]
