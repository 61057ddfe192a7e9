"""The types that carry secrets: redacted when printed, opened only where they are used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TypeVar

from pydantic import SecretStr

OpenedT = TypeVar("OpenedT")


@dataclass(frozen=True, slots=True)
class SshKey:
    """A private key in OpenSSH or PEM form without passphrase, and what goes with it."""

    private_key: SecretStr
    username: str | None = None
    known_hosts: str | None = None


@dataclass(frozen=True, slots=True)
class SshPassword:
    """A password for SSH, and what goes with it."""

    password: SecretStr
    username: str | None = None
    known_hosts: str | None = None


@dataclass(frozen=True, slots=True)
class Password:
    """The become password, or a vault password with its vault id."""

    password: SecretStr
    vault_id: str = "default"


@dataclass(frozen=True, slots=True)
class GitLogin:
    """User and token for git over https."""

    username: str
    token: SecretStr


@dataclass(frozen=True, slots=True)
class Token:
    """The API token of a Galaxy server."""

    token: SecretStr


@dataclass(frozen=True, slots=True)
class Variables:
    """Values by name, for an environment or for headers."""

    values: Mapping[str, SecretStr] = field(default_factory=dict)
    files: Mapping[str, SecretStr] = field(default_factory=dict)  # the variable holds the path of a file with this text
    plain: Mapping[str, str] = field(default_factory=dict)  # not secret: such as a region


Opened = SshKey | SshPassword | Password | GitLogin | Token | Variables


@dataclass(frozen=True, slots=True)
class Secrets:
    """Every secret of one job by its place in the request, in memory for as long as the job runs."""

    at: Mapping[str, Opened] = field(default_factory=dict)  # JSON Pointer → what is opened there
    more: tuple[SecretStr, ...] = ()  # not used in the play, but to be masked

    def get(self, place: str, kind: type[OpenedT]) -> OpenedT | None:
        """What was opened at a place; None when the request names nothing there."""
        found = self.at.get(place)
        if found is not None and not isinstance(found, kind):
            raise AssertionError(f"{place} holds a {type(found).__name__}")
        return found

    def below(self, place: str, kind: type[OpenedT]) -> list[OpenedT]:
        """What was opened at a place, or at the numbered places below it, in their order."""
        return [found for at, found in self.at.items() if _is_below(at, place) and isinstance(found, kind)]

    @property
    def ssh(self) -> SshKey | SshPassword | None:
        found = self.at.get("/credentials/ssh")
        return found if isinstance(found, SshKey | SshPassword) else None

    @property
    def become_password(self) -> SecretStr | None:
        found = self.get("/credentials/become_password", Password)
        return found.password if found else None

    @property
    def vault_passwords(self) -> list[Password]:
        return self.below("/credentials/vault_password", Password)

    @property
    def environment(self) -> list[Variables]:
        """What the play's environment gets: clouds first, then the variables that callers name themselves."""
        return [*self.below("/credentials/cloud", Variables), *self.below("/credentials/environment", Variables)]

    def git(self, place: str) -> SshKey | GitLogin | None:
        """What opens the git location at this place: /source, /inventory or /inventory/<n>."""
        found = self.at.get(f"{place}/git_credential")
        return found if isinstance(found, SshKey | GitLogin) else None

    def values(self) -> Iterator[str]:
        """Every secret value in clear, for masking."""
        for secret in _find(self):
            yield secret.get_secret_value()


def _is_below(at: str, place: str) -> bool:
    return at == place or at.startswith(f"{place}/")


def _find(thing: object) -> Iterator[SecretStr]:
    if isinstance(thing, SecretStr):
        yield thing
    elif is_dataclass(thing) and not isinstance(thing, type):
        for part in fields(thing):
            yield from _find(getattr(thing, part.name))
    elif isinstance(thing, Mapping):
        for item in thing.values():
            yield from _find(item)
    elif isinstance(thing, tuple):
        for item in thing:
            yield from _find(item)
