"""From what a request names to secrets in memory, in the worker, just before use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy.orm import Session

from ansible_api.credentials import store
from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.fields import WithKey, is_secret
from ansible_api.credentials.model import Kind
from ansible_api.credentials.refs import AnyRef, HashicorpVaultRef, InlineCredential
from ansible_api.credentials.secrets import GitLogin, Opened, Password, Secrets, SshKey, SshPassword, Token, Variables
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


def resolve(session: Session, cipher: Cipher, owner: Owner, refs: Iterable[tuple[str, AnyRef]]) -> Secrets:
    """Open what stands at each place (JSON Pointer) of a request.

    JobError credential_not_found: one was deleted meanwhile.
    """
    at: dict[str, Opened] = {}
    more: list[SecretStr] = []
    for place, ref in refs:
        kind, fields = _fields(session, cipher, owner, place, ref)
        at[place] = opened(kind, fields)
        if "passphrase" in fields:
            more.append(SecretStr(fields["passphrase"]))
    return Secrets(at, tuple(more))


def _fields(session: Session, cipher: Cipher, owner: Owner, place: str, ref: AnyRef) -> tuple[Kind, Mapping[str, Any]]:
    match ref:
        case InlineCredential():
            found = store.open_for_job(session, cipher, owner.team, owner.job_id, place)
            what = f"the value that came with the job at {place}"
        case HashicorpVaultRef():
            raise AssertionError("not built yet")
        case name:
            found = store.open_fields(session, cipher, owner.team, name)
            what = f"the credential {name!r}"
    if found is None:
        raise JobError("credential_not_found", f"{what} was deleted: create it and submit again")
    return found


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
