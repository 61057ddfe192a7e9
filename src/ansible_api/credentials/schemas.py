"""The request that stores a credential, and what is answered about one: never a value."""

from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from ansible_api.credentials.fields import KINDS, Fields
from ansible_api.credentials.model import Kind
from ansible_api.credentials.refs import CredentialName


class Named(Fields):
    """What every stored credential has besides the fields of its kind."""

    name: CredentialName


def _named(fields: type[Fields]) -> type[Named]:
    """The fields of a kind with a name."""
    title = fields.__name__.removesuffix("Fields") + "Credential"
    bases: Any = (fields, Named)
    return cast("type[Named]", create_model(title, __base__=bases, __doc__=fields.__doc__))


_NAMED: Any = tuple(_named(fields) for fields in KINDS.values())
_AnyNamed: Any = _NAMED[0]
for _each in _NAMED[1:]:
    _AnyNamed = _AnyNamed | _each


class NewCredential(RootModel[Named]):
    """The request that stores a credential: its name, its kind and the fields of that kind."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    root: Annotated[_AnyNamed, Field(discriminator="kind")]


class CredentialView(BaseModel):
    """What is told of a stored credential."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    kind: Kind
    created_at: datetime
    updated_at: datetime


class CredentialList(BaseModel):
    items: list[CredentialView]
