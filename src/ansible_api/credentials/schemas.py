"""The requests that store credentials, and what is answered about one: never a value."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from ansible_api.credentials.fields import KINDS, Fields
from ansible_api.credentials.model import Kind
from ansible_api.credentials.refs import CredentialName

TITLES: Mapping[Kind, str] = {
    Kind.SSH_KEY: "SSH key",
    Kind.SSH_PASSWORD: "SSH password",
    Kind.BECOME_PASSWORD: "Become password",
    Kind.VAULT_PASSWORD: "Password of Ansible Vault",
    Kind.GIT: "Login to a git server",
    Kind.GALAXY_TOKEN: "Token of a Galaxy server",
    Kind.AWS: "AWS access key",
    Kind.AZURE: "Azure service principal",
    Kind.GCP: "Google Cloud service account",
    Kind.OPENSTACK: "OpenStack user or application",
    Kind.HASHICORP_VAULT: "Entrance to HashiCorp Vault",
    Kind.HTTP: "Values for HTTP headers",
    Kind.ENVIRONMENT: "Environment variables",
}


class Named(Fields):
    """What a stored credential has besides the fields of its kind."""

    name: CredentialName


class NamedElsewhere(Fields):
    """The same where the address has the name already."""

    name: CredentialName | None = Field(None, description="the name in the address, when given")


def _any_kind(naming: type[Fields], suffix: str) -> Any:
    """The fields of every kind with a name: one of them, told apart by `kind`."""
    models = []
    for fields in KINDS.values():
        bases: Any = (fields, naming)
        title = fields.__name__.removesuffix("Fields") + suffix
        models.append(cast("type[Fields]", create_model(title, __base__=bases, __doc__=fields.__doc__)))
    return Annotated[reduce(or_, cast("Sequence[Any]", models)), Field(discriminator="kind")]


_AnyNamed: Any = _any_kind(Named, "Credential")
_AnyNamedElsewhere: Any = _any_kind(NamedElsewhere, "Replacement")


class NewCredential(RootModel[Named]):
    """The request that stores a credential: its name, its kind and the fields of that kind."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)

    root: _AnyNamed


class CredentialReplacement(RootModel[NamedElsewhere]):
    """The request that stores a credential in the place of another: its kind and the fields of that kind."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)

    root: _AnyNamedElsewhere


class CredentialView(BaseModel):
    """What is told of a stored credential."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    kind: Kind
    created_at: datetime
    updated_at: datetime


class CredentialList(BaseModel):
    items: list[CredentialView]


class KindView(BaseModel):
    """What a kind of credential is for, and what it holds."""

    kind: Kind
    title: str
    description: str
    used_at: list[str] = Field(description="JSON Pointers into a request; in a list, a number more")
    fields: dict[str, Any] = Field(description="JSON Schema of what a credential holds besides its name")

    @classmethod
    def of(cls, kind: Kind, used_at: Sequence[str]) -> Self:
        schema = KINDS[kind].model_json_schema() | {"title": TITLES[kind]}
        return cls(
            kind=kind,
            title=TITLES[kind],
            description=schema["description"],
            used_at=list(used_at),
            fields=schema,
        )


class KindList(BaseModel):
    items: list[KindView]


class CredentialVerdict(BaseModel):
    """Whether a credential works."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    ok: bool
    detail: str = Field(description="what was asked, and what came of it; never a value, nor anything of an answer")
