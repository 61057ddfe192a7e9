"""The types that carry secrets: redacted when printed, opened only where they are used."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class SshKey:
    """A private key in OpenSSH or PEM form without passphrase, and what goes with it."""

    private_key: SecretStr
    username: str | None = None
    known_hosts: str | None = None


@dataclass(frozen=True, slots=True)
class GitLogin:
    """User and token for git over https."""

    username: str
    token: SecretStr


@dataclass(frozen=True, slots=True)
class Secrets:
    """Every secret of one job, in memory for as long as the job runs."""

    ssh: SshKey | None = None
    become_password: SecretStr | None = None
    vault_password: SecretStr | None = None
    git: SshKey | GitLogin | None = None
    more: tuple[SecretStr, ...] = field(default=())

    def values(self) -> Iterator[str]:
        """Every secret value in clear, for masking."""
        for secret in _find(self):
            yield secret.get_secret_value()


def _find(thing: object) -> Iterator[SecretStr]:
    if isinstance(thing, SecretStr):
        yield thing
    elif isinstance(thing, SshKey | GitLogin | Secrets):
        for part in fields(thing):
            yield from _find(getattr(thing, part.name))
    elif isinstance(thing, tuple):
        for item in thing:
            yield from _find(item)
