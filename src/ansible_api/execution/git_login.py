"""What a credential means for one fetch: the name of its cache, and the options of ssh with its 0600 files."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

from ansible_api.credentials.secrets import GitLogin, SshKey
from ansible_api.errors import JobError
from ansible_api.execution.workspace import write_private
from ansible_api.settings import HostKeyPolicy

Login = SshKey | GitLogin | None

# No configuration, agent, password or forwarding of the worker; nothing that asks a person.
ALWAYS = (
    *("-F", "none", "-T", "-a", "-x"),
    *("-o", "BatchMode=yes"),
    *("-o", "IdentitiesOnly=yes"),
    *("-o", "IdentityAgent=none"),
    *("-o", "UpdateHostKeys=no"),
    *("-o", "ServerAliveInterval=15"),
    *("-o", "LogLevel=ERROR"),
)


def identity(login: Login) -> str:
    """A name for the credential that tells nothing of it: what one credential may read is never served to another."""
    match login:
        case SshKey():
            parts = ["ssh", login.username or "", login.private_key.get_secret_value()]
        case GitLogin():
            parts = ["token", login.username, login.token.get_secret_value()]
        case None:
            parts = ["nobody"]
    return digest(*parts)


def digest(*parts: str) -> str:
    """One name for several texts."""
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


def check_login(repo: str, login: Login) -> None:
    """Refuse a credential that this repository's scheme cannot use, before anything is sent."""
    if isinstance(login, SshKey) and repo.startswith(("https://", "http://")):
        detail = "The repository's address is https, but git_credential is an SSH key: use an ssh address, or a token."
        raise JobError("source_refused", detail)
    if isinstance(login, GitLogin) and repo.startswith("http://"):
        raise JobError("source_refused", "A token is sent over https only: give the repository's https address.")


@contextmanager
def ssh_options(
    login: Login, known_hosts: Path, secrets_dir: Path, policy: HostKeyPolicy, connect_timeout: float
) -> Iterator[tuple[str, ...]]:
    """Options for the system's ssh; the files that they name are gone afterwards, `known_hosts` stays."""
    with _private_directory(secrets_dir) if isinstance(login, SshKey) else nullcontext("") as directory:
        options = [*ALWAYS, "-o", f"ConnectTimeout={max(1, round(connect_timeout))}"]
        key = "none"
        if isinstance(login, SshKey):
            key = str(write_private(Path(directory, "key"), login.private_key.get_secret_value().strip() + "\n"))
        options += ["-i", key] if key != "none" else ["-o", "IdentityFile=none"]
        if isinstance(login, SshKey) and login.known_hosts:
            known = str(write_private(Path(directory, "known_hosts"), login.known_hosts.strip() + "\n"))
            options += _host_keys("yes", known, "none")
        elif policy is HostKeyPolicy.ACCEPT_NEW:
            known_hosts.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            options += _host_keys("accept-new", str(known_hosts), "/etc/ssh/ssh_known_hosts")
        else:
            options += _host_keys("yes", "none", "/etc/ssh/ssh_known_hosts")
        yield tuple(options)


def _private_directory(secrets_dir: Path) -> AbstractContextManager[str]:
    return tempfile.TemporaryDirectory(prefix="git-", dir=secrets_dir)


def _host_keys(strict: str, known: str, of_system: str) -> list[str]:
    """Which host keys count; the system's file is the operator's word, and yields to the credential's."""
    settings = (f"StrictHostKeyChecking={strict}", f'UserKnownHostsFile="{known}"', f"GlobalKnownHostsFile={of_system}")
    return [part for setting in settings for part in ("-o", setting)]
