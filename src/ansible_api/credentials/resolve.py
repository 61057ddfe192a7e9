"""From what a request names to secrets in memory, in the worker, just before use."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from sqlalchemy.orm import Session

from ansible_api.credentials import store
from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.fields import WithKey, is_secret
from ansible_api.credentials.model import Kind
from ansible_api.credentials.refs import HashicorpVaultRef, InlineCredential, Wanted
from ansible_api.credentials.secrets import GitLogin, Opened, Password, Secrets, SshKey, SshPassword, Token, Variables
from ansible_api.credentials.vault import Vault
from ansible_api.credentials.vault_values import fields_of
from ansible_api.egress import Policy
from ansible_api.errors import JobError

# Environment variable → field, as the providers' own tools and Ansible's collections read them.
CLOUD_VARIABLES: Mapping[Kind, Mapping[str, str]] = {
    Kind.AWS: {
        "AWS_ACCESS_KEY_ID": "access_key_id",
        "AWS_SECRET_ACCESS_KEY": "secret_access_key",
        "AWS_SESSION_TOKEN": "session_token",
        "AWS_REGION": "region",
        "AWS_DEFAULT_REGION": "region",
        "AWS_ENDPOINT_URL": "endpoint_url",
    },
    Kind.AZURE: {
        "AZURE_TENANT": "tenant",
        "AZURE_CLIENT_ID": "client_id",
        "AZURE_SECRET": "client_secret",
        "AZURE_SUBSCRIPTION_ID": "subscription_id",
    },
    Kind.GCP: {"GCP_PROJECT": "project"},
    Kind.OPENSTACK: {
        "OS_AUTH_URL": "auth_url",
        "OS_USERNAME": "username",
        "OS_PASSWORD": "password",
        "OS_PROJECT_NAME": "project_name",
        "OS_USER_DOMAIN_NAME": "user_domain_name",
        "OS_PROJECT_DOMAIN_NAME": "project_domain_name",
        "OS_APPLICATION_CREDENTIAL_ID": "application_credential_id",
        "OS_APPLICATION_CREDENTIAL_SECRET": "application_credential_secret",
        "OS_REGION_NAME": "region_name",
    },
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose credentials are opened, and for which job."""

    team: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A credential as its row, or the job's, holds it."""

    kind: Kind
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class InVault:
    """A secret still to be read, through the credential of that name."""

    ref: HashicorpVaultRef
    entrance: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that the database says of a job's secrets: needs no session any more."""

    found: Mapping[str, Stored | InVault]
    entrances: Mapping[str, Mapping[str, Any]] = field(repr=False)  # by name, the fields of hashicorp_vault

    def open(self, policy: Policy, timeout: float) -> Secrets:
        """Read what lies in Vault, `timeout` seconds for each secret; the errors are those of `Vault`, `fields_of`."""
        at: dict[str, Opened] = {}
        more: list[SecretStr] = []
        with ExitStack() as stack:
            vaults = {
                name: stack.enter_context(Vault(fields, policy, timeout)) for name, fields in self.entrances.items()
            }
            for place, found in self.found.items():
                kind, fields = _contents(place, found, vaults)
                at[place] = opened(kind, fields)
                if "passphrase" in fields:
                    more.append(SecretStr(fields["passphrase"]))
            more += [secret for vault in vaults.values() for secret in vault.secrets()]
        return Secrets(at, tuple(more))


def load(session: Session, cipher: Cipher, owner: Owner, wanted: Iterable[Wanted]) -> Loaded:
    """Open the rows of what a request names.

    JobError credential_not_found or credential_misfit: one was deleted or replaced since the job was accepted.
    """
    found: dict[str, Stored | InVault] = {}
    entrances: dict[str, Mapping[str, Any]] = {}
    for one in wanted:
        if isinstance(one.ref, HashicorpVaultRef):
            name = one.ref.vault_credential or _only_vault(session, owner.team)
            entrances[name] = _stored(session, cipher, owner.team, name, frozenset({Kind.HASHICORP_VAULT})).fields
            found[one.place] = InVault(one.ref, name)
        elif isinstance(one.ref, InlineCredential):
            found[one.place] = _of_job(session, cipher, owner, one.place)
        else:
            found[one.place] = _stored(session, cipher, owner.team, one.ref, one.fitting)
    return Loaded(found, entrances)


def _only_vault(session: Session, team: str) -> str:
    names = store.names_of_kind(session, team, Kind.HASHICORP_VAULT)
    if len(names) == 1:
        return names[0]
    if not names:
        detail = "the team's credential of kind hashicorp_vault was deleted: create it and submit again"
        raise JobError("credential_not_found", detail)
    detail = "the team has several credentials of kind hashicorp_vault now: name one in vault_credential"
    raise JobError("credential_not_found", detail)


def _of_job(session: Session, cipher: Cipher, owner: Owner, place: str) -> Stored:
    found = store.open_for_job(session, cipher, owner.team, owner.job_id, place)
    if found is None:
        detail = f"the value that came with the job at {place} is no longer there: submit again"
        raise JobError("credential_not_found", detail)
    return Stored(*found)


def _stored(session: Session, cipher: Cipher, team: str, name: str, fitting: frozenset[Kind]) -> Stored:
    found = store.open_fields(session, cipher, team, name)
    if found is None:
        raise JobError("credential_not_found", f"the credential {name!r} was deleted: create it and submit again")
    if found[0] not in fitting:
        detail = f"the credential {name!r} is of kind {found[0]} now; needed: {' or '.join(sorted(fitting))}"
        raise JobError("credential_misfit", detail)
    return Stored(*found)


def _contents(place: str, found: Stored | InVault, vaults: Mapping[str, Vault]) -> tuple[Kind, Mapping[str, Any]]:
    match found:
        case Stored(kind, fields):
            return kind, fields
        case InVault(ref, entrance):
            return fields_of(place, ref.vault_path, ref.vault_key, vaults[entrance].read(ref.vault_path))


def opened(kind: Kind, fields: Mapping[str, Any]) -> Opened:
    """A credential of a kind in the form in which it is used."""
    match kind:
        case Kind.SSH_KEY:
            return _ssh_key(fields)
        case Kind.SSH_PASSWORD:
            return SshPassword(SecretStr(fields["password"]), fields.get("username"), fields.get("known_hosts"))
        case Kind.BECOME_PASSWORD | Kind.VAULT_PASSWORD:
            return Password(SecretStr(fields["password"]), fields.get("vault_id", "default"))
        case Kind.GIT:
            if "token" in fields:
                return GitLogin(fields.get("username", "git"), SecretStr(fields["token"]))
            return _ssh_key(fields)
        case Kind.GALAXY_TOKEN:
            return Token(SecretStr(fields["token"]))
        case Kind.AWS | Kind.AZURE | Kind.GCP | Kind.OPENSTACK:
            return _cloud(kind, fields)
        case Kind.HTTP | Kind.ENVIRONMENT:
            return Variables({name: SecretStr(value) for name, value in fields["variables"].items()})
        case Kind.HASHICORP_VAULT:
            raise AssertionError("opens other secrets, and is none of a job's")


def _ssh_key(fields: Mapping[str, Any]) -> SshKey:
    passphrase = SecretStr(fields["passphrase"]) if "passphrase" in fields else None
    key = WithKey.opened(SecretStr(fields["private_key"]), passphrase)
    return SshKey(key, username=fields.get("username"), known_hosts=fields.get("known_hosts"))


def _cloud(kind: Kind, fields: Mapping[str, Any]) -> Variables:
    named = {variable: name for variable, name in CLOUD_VARIABLES[kind].items() if name in fields}
    values = {variable: SecretStr(fields[name]) for variable, name in named.items() if is_secret(kind, name)}
    plain = {variable: str(fields[name]) for variable, name in named.items() if not is_secret(kind, name)}
    match kind:
        case Kind.GCP:
            key_file = SecretStr(fields["service_account"])
            files = {"GCP_SERVICE_ACCOUNT_FILE": key_file, "GOOGLE_APPLICATION_CREDENTIALS": key_file}
            return Variables(values, files, plain | {"GCP_AUTH_KIND": "serviceaccount"})
        case Kind.OPENSTACK if "application_credential_id" in fields:
            return Variables(values, plain=plain | {"OS_AUTH_TYPE": "v3applicationcredential"})
        case _:
            return Variables(values, plain=plain)
