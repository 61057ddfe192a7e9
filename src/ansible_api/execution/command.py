"""The ansible-playbook command of a job: its argv, its environment and the files that carry its secrets."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ansible_api.credentials.secrets import Secrets, SshKey
from ansible_api.errors import JobError
from ansible_api.execution import ansible_cfg
from ansible_api.execution.inventory import PLUGINS
from ansible_api.execution.sandbox import Command, Places
from ansible_api.execution.source import resolve_inside
from ansible_api.execution.workspace import MARKER, Workspace
from ansible_api.jobs.spec import JobSpec, Options, PlaybookSource
from ansible_api.settings import HostKeyPolicy

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_FORKS = Options.model_fields["forks"].default


def prepare_command(
    spec: JobSpec, secrets: Secrets, room: Workspace, places: Places, inventory: Path, host_keys: HostKeyPolicy
) -> Command:
    """Write what the command names, and give the command; it names no secret, only files."""
    playbooks = find_playbooks(spec, room.project)
    argv = [
        _program(),
        *("--inventory", str(inventory)),
        *_option_arguments(spec.options),
        *_extra_vars(spec, room),
        *_secret_arguments(secrets, room),
        "--",
        *playbooks,
    ]
    config = ansible_cfg.write_config(room.project, _defaults(spec, secrets, room, places, host_keys))
    return Command(tuple(argv), _environment(room, places, config))


def find_playbooks(spec: JobSpec, project: Path) -> tuple[str, ...]:
    """The job's playbooks as they stand in the repository; JobError when one is missing or leads out of it."""
    if not isinstance(spec.source, PlaybookSource):
        raise JobError("source_not_supported", f"sources of type {spec.source.type} cannot be run yet")
    for playbook in spec.source.playbooks:
        if not resolve_inside(project, playbook).is_file():
            raise JobError("playbook_not_found", f"the repository has no playbook {playbook}: correct source.path")
    return spec.source.playbooks


def _program() -> str:
    program = Path(sys.executable).parent / "ansible-playbook"
    if not os.access(program, os.X_OK):
        raise JobError("ansible_missing", "ansible-playbook is not installed beside this worker's Python")
    return str(program)


def _option_arguments(options: Options) -> Iterator[str]:
    if options.limit is not None:
        yield from ("--limit", options.limit)
    if options.tags:
        yield from ("--tags", ",".join(options.tags))
    if options.skip_tags:
        yield from ("--skip-tags", ",".join(options.skip_tags))
    if options.verbosity:
        yield "-" + "v" * options.verbosity
    if options.check_mode:
        yield "--check"
    if options.diff_mode:
        yield "--diff"
    if options.forks != DEFAULT_FORKS:  # else the project's ansible.cfg decides
        yield from ("--forks", str(options.forks))


def _extra_vars(spec: JobSpec, room: Workspace) -> Iterator[str]:
    if spec.extra_vars:
        # Callers put secrets there, too.
        path = room.add_secret("extra_vars.json", json.dumps(spec.extra_vars, ensure_ascii=False))
        yield from ("-e", f"@{path}")


def _secret_arguments(secrets: Secrets, room: Workspace) -> Iterator[str]:
    if secrets.ssh is not None:
        yield from ("--private-key", str(room.add_secret("ssh_key", _key_text(secrets.ssh))))
        if secrets.ssh.username:
            yield from ("--user", secrets.ssh.username)
    if secrets.become_password is not None:
        path = room.add_secret("become_password", secrets.become_password.get_secret_value())
        yield from ("--become-password-file", str(path))
    if secrets.vault_password is not None:
        path = room.add_secret("vault_password", secrets.vault_password.get_secret_value())
        yield from ("--vault-id", f"default@{path}")


def _key_text(key: SshKey) -> str:
    """As ssh insists on it: Unix line ends, and one at the end."""
    return key.private_key.get_secret_value().replace("\r\n", "\n").strip() + "\n"


def _defaults(
    spec: JobSpec, secrets: Secrets, room: Workspace, places: Places, host_keys: HostKeyPolicy
) -> ansible_cfg.Defaults:
    named = {name for name in ansible_cfg.REPLACED if getattr(secrets, name) is not None}
    return ansible_cfg.Defaults(
        forks=spec.options.forks,
        local_tmp=places.tmp / "ansible",
        control_dir=places.sockets,
        ssh_options=_ssh_options(secrets.ssh, room, places, host_keys),
        credentials=frozenset(named),
        inventory_plugins=PLUGINS,
    )


def _ssh_options(key: SshKey | None, room: Workspace, places: Places, host_keys: HostKeyPolicy) -> str:
    options = "-o BatchMode=yes"
    if key is not None and key.known_hosts:
        path = room.add_secret("known_hosts", key.known_hosts.strip() + "\n")
        return f"{options} -o StrictHostKeyChecking=yes -o UserKnownHostsFile={path}"
    if host_keys is HostKeyPolicy.ACCEPT_NEW:
        return f"{options} -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={places.sockets}/known_hosts"
    return f"{options} -o StrictHostKeyChecking=yes"


def _environment(room: Workspace, places: Places, config: Path) -> dict[str, str]:
    """All that the play gets besides what ansible-runner's callback needs; values here beat the project's settings."""
    environment = {
        MARKER: room.marker,
        "ANSIBLE_API_ARTIFACTS": str(room.artifacts),
        "ANSIBLE_CONFIG": str(config),
        "HOME": str(places.home),
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "TMPDIR": str(places.tmp),
    }
    if directories := ansible_cfg.callback_plugins(config):
        environment["ANSIBLE_CALLBACK_PLUGINS"] = directories
    return environment
