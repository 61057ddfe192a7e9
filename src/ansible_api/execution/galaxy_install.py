"""Runs ansible-galaxy in the job's sandbox, with one server, one token, and a guarded way out.

The server's token is for its own server only: a requirements file may name any other.
"""

import os
import tempfile
import time
from pathlib import Path

from ansible_api.credentials.secrets import Token
from ansible_api.egress import guarded_proxy
from ansible_api.execution import tunnel
from ansible_api.execution.environment import base_environment, program
from ansible_api.execution.galaxy_cache import check_size, watch_size
from ansible_api.execution.galaxy_errors import explain, timed_out
from ansible_api.execution.galaxy_git import git_environment
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.requirements import Requirements
from ansible_api.execution.sandbox import Command
from ansible_api.execution.tool import ToolTimedOut, run_tool
from ansible_api.execution.workspace import write_private

SERVER = "requested"  # its name in ansible-galaxy's configuration
TOKEN_PLACE = "/source/galaxy_credential"  # noqa: S105
# Its cache of answers breaks its own second tries, and ends with its home.
NO_CACHE = ("--no-cache",)
LIMITED = 'ulimit -v "$1" && ulimit -f "$2" && shift 2 && exec "$@"'  # KiB of memory, blocks of 512 bytes of a file
ANSWER_TIMEOUT = 60  # seconds for one answer of a server


def install(preparation: Preparation, wanted: Requirements, scratch: Path) -> None:
    """Make `scratch/files` with `collections` and `roles`.

    JobError as galaxy_errors.py has them, dependencies_too_large or canceled; TransientJobError galaxy_unreachable.
    """
    timeout = preparation.config.galaxy.timeout
    deadline = time.monotonic() + timeout
    files, home = scratch / "files", scratch / "home"
    for directory in (files / "collections", files / "roles", home / "tmp"):
        directory.mkdir(parents=True, mode=0o700)
    with (
        guarded_proxy(preparation.config.egress, timeout=timeout) as proxy,
        # Gone before the play, which may read all other secrets of the job.
        tempfile.TemporaryDirectory(prefix="galaxy-", dir=preparation.room.secrets) as private,
        # Only where the cache's key has it: what a login opened is not lent to who has another.
        git_environment(preparation, home, Path(private), with_login=wanted.uses_git) as git,
    ):
        environment = _environment(preparation, home, Path(private)) | _way_out(proxy) | git
        for kind, entries, flags in (("collection", wanted.collections, NO_CACHE), ("role", wanted.roles, ())):
            if not entries:
                continue
            one = Requirements(**{f"{kind}s": tuple(_at_ours(entry, server(preparation)) for entry in entries)})
            path = write_private(scratch / f"{kind}s.yml", one.as_json())
            argv = (program("ansible-galaxy"), kind, "install", "-r", str(path), "-p", str(files / f"{kind}s"), *flags)
            command = Command((*_limits(preparation), *argv), environment, _readable(), (scratch,))
            _run(preparation, command, scratch, deadline)
    check_size(scratch, preparation.config.git.size)


def server(preparation: Preparation) -> str:
    """The Galaxy server of this job."""
    return preparation.spec.source.galaxy_server or preparation.config.galaxy.server


def token(preparation: Preparation) -> Token | None:
    """What opens it."""
    return preparation.secrets.get(TOKEN_PLACE, Token)


def _at_ours(entry: dict[str, str], url: str) -> dict[str, str]:
    """An entry that names our server's address gets the token; ansible-galaxy sees other servers in a mere slash."""
    ours = entry.get("source", "").rstrip("/") == url.rstrip("/")
    return {key: text for key, text in entry.items() if not (ours and key == "source")}


def _run(preparation: Preparation, command: Command, scratch: Path, deadline: float) -> None:
    try:
        done = run_tool(
            command,
            preparation.room,
            preparation.sandbox,
            timeout=deadline - time.monotonic(),
            keep_going=watch_size(scratch, preparation.config.git.size, preparation.keep_going),
            mask=preparation.mask,
        )
    except ToolTimedOut:
        raise timed_out(preparation.config.galaxy.timeout) from None
    if done.code != 0:
        raise explain(done.stderr or preparation.mask.text(done.stdout.decode(errors="replace")))


def _limits(preparation: Preparation) -> tuple[str, ...]:
    """What a server may make the command take: memory, and the size of one file."""
    limits = preparation.config.git
    return "/bin/sh", "-c", LIMITED, "sh", str(limits.memory // 1024), str(limits.size // 512)


def _environment(preparation: Preparation, home: Path, private: Path) -> dict[str, str]:
    """Ansible's part; nothing of the project's configuration counts."""
    config = write_private(private / "ansible.cfg", "")
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
        "MALLOC_ARENA_MAX": "2",  # each takes 64 MiB of address space
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
    names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", tunnel.VARIABLE)
    return dict.fromkeys(names, proxy) | {"no_proxy": "", "NO_PROXY": ""}
