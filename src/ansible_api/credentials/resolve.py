"""From names in a request to secrets in memory, in the worker, just before use."""

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from sqlalchemy.orm import Session

from ansible_api.credentials import store
from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.schemas import WithKey
from ansible_api.credentials.secrets import GitLogin, Secrets, SshKey
from ansible_api.errors import JobError


def resolve(session: Session, cipher: Cipher, team: str, names: Mapping[str, str]) -> Secrets:
    """Open credentials by their place: ssh, become_password, vault_password, git_credential; JobError: one is gone."""
    opened = {place: _open(session, cipher, team, name) for place, name in names.items()}
    passphrases = tuple(SecretStr(fields["passphrase"]) for fields in opened.values() if "passphrase" in fields)
    return Secrets(
        ssh=_ssh_key(opened["ssh"]) if "ssh" in opened else None,
        become_password=_password(opened.get("become_password")),
        vault_password=_password(opened.get("vault_password")),
        git=_git(opened.get("git_credential")),
        more=passphrases,
    )


def _open(session: Session, cipher: Cipher, team: str, name: str) -> dict[str, Any]:
    fields = store.open_fields(session, cipher, team, name)
    if fields is None:
        raise JobError("credential_not_found", f"the credential {name!r} was deleted: create it and submit again")
    return fields


def _password(fields: Mapping[str, Any] | None) -> SecretStr | None:
    return SecretStr(fields["password"]) if fields else None


def _ssh_key(fields: Mapping[str, Any]) -> SshKey:
    passphrase = SecretStr(fields["passphrase"]) if "passphrase" in fields else None
    key = WithKey.opened(SecretStr(fields["private_key"]), passphrase)
    return SshKey(key, username=fields.get("username"), known_hosts=fields.get("known_hosts"))


def _git(fields: Mapping[str, Any] | None) -> SshKey | GitLogin | None:
    if fields is None:
        return None
    if "token" in fields:
        return GitLogin(fields.get("username", "git"), SecretStr(fields["token"]))
    return _ssh_key(fields)
