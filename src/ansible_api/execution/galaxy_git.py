"""What git gets when ansible-galaxy calls it: allowed protocols, no questions, and a login for one host only.

The login is that of the job's source. ssh would offer its key to every host, and a requirements file may name any.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ansible_api.credentials.secrets import GitLogin
from ansible_api.execution import tunnel
from ansible_api.execution.git_login import Login, ssh_options
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.workspace import write_private
from ansible_api.jobs.sources import GitLocation

# ssh's options of git_login.py that are no `-o`, as a configuration file has them.
SSH_FLAGS = {"-T": "RequestTTY no", "-a": "ForwardAgent no", "-x": "ForwardX11 no"}

SCP_LIKE = re.compile(r"[^@/]*@(\[[^]]+\]|[^:/]+):")
HOST = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)


@contextmanager
def git_environment(
    preparation: Preparation, home: Path, private: Path, *, with_login: bool
) -> Iterator[dict[str, str]]:
    """Variables for git, and files in `private` (on tmpfs) and `home`; those with a secret are gone afterwards."""
    source = preparation.spec.source
    repo, login = "", None
    if with_login and isinstance(source, GitLocation):
        repo, login = source.repo, preparation.secrets.git("/source")
    known_hosts, limits = home / "known_hosts", preparation.config.git
    with (
        ssh_options(login, known_hosts, private, limits.host_keys, limits.connect_timeout) as ours,
        ssh_options(None, known_hosts, private, limits.host_keys, limits.connect_timeout) as others,
    ):
        ssh_config = write_private(private / "ssh_config", _ssh_config(_host(repo), ours, others))
        config = write_private(private / "gitconfig", _git_config(repo, login, private))
        yield {
            "GIT_ALLOW_PROTOCOL": ":".join(sorted(preparation.config.galaxy.git_schemes)),
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_HTTP_PROXY_AUTHMETHOD": "basic",
            "GIT_SSH_COMMAND": f"ssh -F {shlex.quote(str(ssh_config))}",
            "GIT_SSH_VARIANT": "ssh",
            "GIT_TERMINAL_PROMPT": "0",
        }


def _host(repo: str) -> str:
    if "://" in repo:
        return urlsplit(repo).hostname or ""
    found = SCP_LIKE.match(repo)
    return found[1].strip("[]") if found else ""


def _ssh_config(host: str, ours: tuple[str, ...], others: tuple[str, ...]) -> str:
    """One key for one host: ssh would offer it to every other as well."""
    lines = [f"ProxyCommand {tunnel.proxy_command()}"]
    if HOST.fullmatch(host):
        lines += [f"Match originalhost {host}", *_ssh_lines(ours), f"Match originalhost *,!{host}"]
    return "\n".join([*lines, *_ssh_lines(others)]) + "\n"


def _ssh_lines(options: tuple[str, ...]) -> Iterator[str]:
    rest = iter(options)
    for option in rest:
        if option == "-o":
            yield next(rest)
        elif option == "-i":
            yield f"IdentityFile {next(rest)}"
        elif option == "-F":
            next(rest)
        else:
            yield SSH_FLAGS[option]


def _git_config(repo: str, login: Login, private: Path) -> str:
    text = "[pack]\n\tthreads = 2\n"  # or the number of processors would decide over memory
    if not isinstance(login, GitLogin):
        return text
    parts = urlsplit(repo)
    told = f"username={login.username}\npassword={login.token.get_secret_value()}\n"
    path = write_private(private / "login", told)
    # Git asks helpers to store and to forget, too; this one only ever tells.
    helper = f"!f() {{ cat {shlex.quote(str(path))}; }}; f".replace("\\", "\\\\").replace('"', '\\"')
    return text + f'[credential "{parts.scheme}://{parts.netloc.rpartition("@")[2]}"]\n\thelper = "{helper}"\n'
