"""Runs ansible-galaxy in the job's sandbox, with one server, one token, and a guarded way out.

The server's token and the git login are for their own server only: a requirements file may name any other.
"""

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ansible_api.credentials.secrets import GitLogin, Token
from ansible_api.egress import guarded_proxy
from ansible_api.execution import tunnel
from ansible_api.execution.environment import base_environment, program
from ansible_api.execution.galaxy_cache import check_size, watch_size
from ansible_api.execution.galaxy_errors import explain, timed_out
from ansible_api.execution.git_login import Login, ssh_options
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.requirements import Requirements
from ansible_api.execution.sandbox import Command
from ansible_api.execution.tool import ToolTimedOut, run_tool
from ansible_api.execution.workspace import write_private
from ansible_api.jobs.sources import GitLocation

SERVER = "requested"  # its name in ansible-galaxy's configuration
TOKEN_PLACE = "/source/galaxy_credential"  # noqa: S105
# Its cache of answers breaks its own second tries, and ends with its home.
NO_CACHE = ("--no-cache",)
ANSWER_TIMEOUT = 60  # seconds for one answer of a server
# ssh's options of git_login.py that are no `-o`, as a configuration file has them.
SSH_FLAGS = {"-T": "RequestTTY no", "-a": "ForwardAgent no", "-x": "ForwardX11 no"}


def install(preparation: Preparation, wanted: Requirements, scratch: Path) -> None:
    """Make `scratch/files` with `collections` and `roles`.

    JobError as galaxy_errors.py has them, dependencies_too_large or canceled; TransientJobError galaxy_unreachable.
    """
    timeout = preparation.config.galaxy.timeout
    deadline = time.monotonic() + timeout
    files, home = scratch / "files", scratch / "home"
    for directory in (files / "collections", files / "roles", home / "tmp"):
        directory.mkdir(parents=True, mode=0o700)
    with guarded_proxy(preparation.config.egress, timeout=timeout) as proxy, _git(preparation, home, proxy) as git:
        environment = _environment(preparation, home) | _way_out(proxy) | git
        for kind, entries, flags in (("collection", wanted.collections, NO_CACHE), ("role", wanted.roles, ())):
            if not entries:
                continue
            one = Requirements(**{f"{kind}s": entries})
            path = write_private(scratch / f"{kind}s.yml", one.as_json())
            argv = (program("ansible-galaxy"), kind, "install", "-r", str(path), "-p", str(files / f"{kind}s"), *flags)
            _run(preparation, Command(argv, environment, _readable(), (scratch,)), scratch, deadline)
    check_size(scratch, preparation.config.git.size)


def server(preparation: Preparation) -> str:
    """The Galaxy server of this job."""
    return preparation.spec.source.galaxy_server or preparation.config.galaxy.server


def token(preparation: Preparation) -> Token | None:
    """What opens it."""
    return preparation.secrets.get(TOKEN_PLACE, Token)


def _run(preparation: Preparation, command: Command, scratch: Path, deadline: float) -> None:
    try:
        done = run_tool(
            command,
            preparation.room,
            preparation.sandbox,
            timeout=deadline - time.monotonic(),
            keep_going=watch_size(scratch, preparation.config.git.size, preparation.keep_going),
        )
    except ToolTimedOut:
        raise timed_out(preparation.config.galaxy.timeout) from None
    if done.code != 0:
        raise explain(done.stderr or done.stdout.decode(errors="replace"))


def _environment(preparation: Preparation, home: Path) -> dict[str, str]:
    """Ansible's part; nothing of the project's configuration counts."""
    config = preparation.room.secrets / "galaxy.cfg"
    if not config.exists():
        preparation.room.add_secret(config.name, "")
    environment = base_environment(preparation) | {
        "ANSIBLE_COLLECTIONS_PATH": str(home.parent / "files" / "collections"),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",  # what this worker has by chance is no answer
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_GALAXY_SERVER_LIST": SERVER,
        "ANSIBLE_GALAXY_SERVER_TIMEOUT": str(ANSWER_TIMEOUT),
        f"ANSIBLE_GALAXY_SERVER_{SERVER.upper()}_URL": server(preparation),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
    }
    if opened := token(preparation):
        environment[f"ANSIBLE_GALAXY_SERVER_{SERVER.upper()}_TOKEN"] = opened.token.get_secret_value()
    if authorities := os.environ.get("SSL_CERT_FILE"):
        environment |= {"SSL_CERT_FILE": authorities, "GIT_SSL_CAINFO": authorities}
    return environment


def _readable() -> tuple[Path, ...]:
    authorities = os.environ.get("SSL_CERT_FILE")
    return (tunnel.PROGRAM, *([Path(authorities)] if authorities and Path(authorities).is_file() else []))


def _way_out(proxy: str) -> dict[str, str]:
    """All requests go through the proxy, those to this machine as well."""
    names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return dict.fromkeys(names, proxy) | {"no_proxy": "", "NO_PROXY": "", "GIT_HTTP_PROXY_AUTHMETHOD": "basic"}


@contextmanager
def _git(preparation: Preparation, home: Path, proxy: str) -> Iterator[dict[str, str]]:
    """What git gets: allowed protocols, no questions, and the login of the job's source for its own host."""
    source = preparation.spec.source
    login = preparation.secrets.git("/source") if isinstance(source, GitLocation) else None
    secrets_dir = preparation.room.secrets
    known_hosts = home / "known_hosts"
    policy, patience = preparation.config.git.host_keys, preparation.config.git.connect_timeout
    with (
        ssh_options(login, known_hosts, secrets_dir, policy, patience) as ours,
        ssh_options(None, known_hosts, secrets_dir, policy, patience) as others,
    ):
        host = _host(source.repo) if isinstance(source, GitLocation) else ""
        ssh_config = write_private(home / "ssh_config", _ssh_config(host, ours, others))
        config = write_private(home / "gitconfig", _git_config(preparation, login))
        yield {
            "GIT_ALLOW_PROTOCOL": ":".join(sorted(preparation.config.galaxy.git_schemes)),
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSH_COMMAND": f"ssh -F {shlex.quote(str(ssh_config))}",
            "GIT_SSH_VARIANT": "ssh",
            "GIT_TERMINAL_PROMPT": "0",
            tunnel.VARIABLE: proxy,
        }


def _host(repo: str) -> str:
    if "://" in repo:
        return urlsplit(repo).hostname or ""
    return repo.partition(":")[0].rpartition("@")[2].strip("[]")


def _ssh_config(host: str, ours: tuple[str, ...], others: tuple[str, ...]) -> str:
    """One key for one host: ssh would offer it to every other as well."""
    lines = [f"ProxyCommand {tunnel.proxy_command()}"]
    if host:
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


def _git_config(preparation: Preparation, login: Login) -> str:
    source = preparation.spec.source
    if not isinstance(source, GitLocation) or not isinstance(login, GitLogin):
        return ""
    parts = urlsplit(source.repo)
    text = f"username={login.username}\npassword={login.token.get_secret_value()}\n"
    path = preparation.room.secrets / "git_login"
    if not path.exists():
        preparation.room.add_secret(path.name, text)
    # Git asks helpers to store and to forget, too; this one only ever tells.
    helper = f"!f() {{ cat {shlex.quote(str(path))}; }}; f"
    escaped = helper.replace("\\", "\\\\").replace('"', '\\"')
    return f'[credential "{parts.scheme}://{parts.netloc.rpartition("@")[2]}"]\n\thelper = "{escaped}"\n'
