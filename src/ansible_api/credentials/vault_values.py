"""Which values of a Vault secret a place of the request takes, as the fields of a kind of credential."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ansible_api.credentials.fields import KINDS, revealed
from ansible_api.credentials.model import Kind
from ansible_api.errors import JobError

# Field of `credentials` → the names under which its value is looked for when the request gives no vault_key.
DEFAULT_KEYS: Mapping[str, tuple[str, ...]] = {
    "ssh": ("private_key", "password"),
    "become_password": ("become_password", "password"),
    "vault_password": ("vault_password", "password"),
}
# Field → values of the same secret that go with it.
COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "ssh": ("username", "passphrase", "known_hosts"),
    "become_password": (),
    "vault_password": ("vault_id",),
}
KEY_NAME = re.compile(r"(.*[_-])?key|id_.*", re.IGNORECASE)
MOST_NAMES = 20


def fields_of(place: str, path: str, key: str | None, secret: Mapping[str, Any]) -> tuple[Kind, dict[str, object]]:
    """Kind and checked fields for a place (a JSON Pointer) of the request; `path` is for the words of errors.

    JobError vault_key_not_found: no such value, or it does not say itself which is meant; vault_value_invalid: it
    does not fit.
    """
    field = place.split("/")[2]
    name = key or _default_key(field, path, secret)
    if name not in secret:
        raise JobError("vault_key_not_found", f"Vault: {path} has no value {name!r}, only {_names(secret)}")
    kind, target = _kind(field, name, secret[name])
    wanted = COMPANIONS[field] if kind is not Kind.SSH_PASSWORD else ("username", "known_hosts")
    more = {other: secret[other] for other in wanted if other != name and secret.get(other) not in (None, "")}
    try:
        checked = KINDS[kind].model_validate({"kind": kind, target: secret[name], **more})
    except ValidationError as error:
        raise JobError("vault_value_invalid", f"Vault: {path}: {_explain(error, {target: name})}") from None
    return kind, revealed(checked)


def _default_key(field: str, path: str, secret: Mapping[str, Any]) -> str:
    for name in DEFAULT_KEYS[field]:
        if name in secret:
            return name
    others = [name for name in secret if name not in COMPANIONS[field]]
    if len(others) == 1:
        return others[0]
    raise JobError("vault_key_not_found", f"Vault: say vault_key for {path}, which has {_names(secret)}")


def _kind(field: str, name: str, value: object) -> tuple[Kind, str]:
    """The kind of credential that a value is, and the name of its field there."""
    if field != "ssh":
        return Kind(field), "password"
    if KEY_NAME.fullmatch(name) or (isinstance(value, str) and value.lstrip().startswith("-----BEGIN ")):
        return Kind.SSH_KEY, "private_key"
    return Kind.SSH_PASSWORD, "password"


def _names(secret: Mapping[str, Any]) -> str:
    shown = [repr(name[:64]) for name in sorted(secret)[:MOST_NAMES]]
    return ", ".join(shown) + (" and more" if len(secret) > MOST_NAMES else "") if shown else "no values at all"


def _explain(error: ValidationError, names: Mapping[str, str]) -> str:
    """What is wrong, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    parts = []
    for item in found:
        field = str(item["loc"][0]) if item["loc"] else ""
        where = f"{names.get(field, field)!r}: " if field else ""
        parts.append(where + item["msg"].removeprefix("Value error, "))
    return "; ".join(parts)
