"""The ansible-playbook command of a job: its argv, its environment and the files that carry its secrets."""

import json
from collections.abc import Iterator
from pathlib import Path

from ansible_api.credentials.secrets import SshKey, SshPassword
from ansible_api.execution import ansible_cfg
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.environment import base_environment, program, variables, vault_arguments
from ansible_api.execution.inventory import PLUGINS, Gathered
from ansible_api.execution.inventory_limit import limit_arguments
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.project import neighbour_collections, neighbours, playbooks
from ansible_api.execution.sandbox import Command, Places
from ansible_api.execution.workspace import Workspace
from ansible_api.jobs.options import Options
from ansible_api.jobs.sources import CollectionRoleSource, RoleSource
from ansible_api.jobs.spec import JobSpec
from ansible_api.settings import HostKeyPolicy

DEFAULT_FORKS = Options.model_fields["forks"].default


def prepare_command(preparation: Preparation, needed: Dependencies, inventory: Gathered) -> Command:
    """Write what the command names, and give the command; its arguments name no secret, only files."""
    spec, room = preparation.spec, preparation.room
    played = playbooks(preparation, needed)
    argv = [
        program("ansible-playbook"),
        *inventory.arguments,
        *limit_arguments(spec.options, room),
        *_option_arguments(spec.options),
        *_extra_vars(spec, room),
        *secret_arguments(preparation),
        "--",
        *played,
    ]
    config = ansible_cfg.write_config(room.project, _defaults(preparation, needed))
    lent = tuple(path for path in (needed.collections, needed.roles) if path is not None)
    return Command(tuple(argv), _environment(preparation, config), readable=lent)


def _option_arguments(options: Options) -> Iterator[str]:
    for name, values in (("--tags", options.tags), ("--skip-tags", options.skip_tags)):
        if values:
            yield from (name, ",".join(values))
    for flag, wanted in (
        ("--check", options.check_mode),
        ("--diff", options.shows_diff),
        ("--become", options.become),
        ("-" + "v" * options.verbosity, options.verbosity),
        (f"--start-at-task={options.start_at_task}", options.start_at_task),
    ):
        if wanted:
            yield flag
    if options.forks != DEFAULT_FORKS:  # else the project's ansible.cfg decides
        yield from ("--forks", str(options.forks))


def _extra_vars(spec: JobSpec, room: Workspace) -> Iterator[str]:
    if isinstance(spec.source, RoleSource | CollectionRoleSource) and spec.source.role_vars:
        path = room.add_secret("role_vars.json", json.dumps(spec.source.role_vars, ensure_ascii=False))
        yield from ("-e", f"@{path}")  # before extra_vars, which win
    if spec.extra_vars:
        # Callers put secrets there, too.
        path = room.add_secret("extra_vars.json", json.dumps(spec.extra_vars, ensure_ascii=False))
        yield from ("-e", f"@{path}")


def secret_arguments(preparation: Preparation) -> Iterator[str]:
    """The options that name files with the job's secrets."""
    secrets, room = preparation.secrets, preparation.room
    match secrets.ssh:
        case SshKey() as key:
            yield from ("--private-key", str(room.add_secret("ssh_key", _key_text(key))))
        case None:
            pass
        case SshPassword() as login:
            path = room.add_secret("ssh_password", login.password.get_secret_value())
            yield from ("--connection-password-file", str(path))
    if secrets.ssh is not None and secrets.ssh.username:
        yield from ("--user", secrets.ssh.username)
    if secrets.become_password is not None:
        path = room.add_secret("become_password", secrets.become_password.get_secret_value())
        yield from ("--become-password-file", str(path))
    yield from vault_arguments(preparation)


def _key_text(key: SshKey) -> str:
    """As ssh insists on it: Unix line ends, and one at the end."""
    return key.private_key.get_secret_value().replace("\r\n", "\n").strip() + "\n"


def _defaults(preparation: Preparation, needed: Dependencies) -> ansible_cfg.Defaults:
    secrets, places = preparation.secrets, preparation.sandbox.places(preparation.room)
    named = {"ssh": secrets.ssh, "become_password": secrets.become_password, "vault_password": secrets.vault_passwords}
    return ansible_cfg.Defaults(
        forks=preparation.spec.options.forks,
        local_tmp=places.tmp / "ansible",
        control_dir=places.sockets,
        ssh_options=_ssh_options(preparation, places),
        credentials=frozenset(name for name, given in named.items() if given),
        inventory_plugins=PLUGINS,
        collections=(*neighbour_collections(preparation), *((needed.collections,) if needed.collections else ())),
        roles=(*neighbours(preparation), *((needed.roles,) if needed.roles else ())),
    )


def _ssh_options(preparation: Preparation, places: Places) -> str:
    login = preparation.secrets.ssh
    options = "" if isinstance(login, SshPassword) else "-o BatchMode=yes "
    if login is not None and login.known_hosts:
        path = preparation.room.add_secret("known_hosts", login.known_hosts.strip() + "\n")
        return f"{options}-o StrictHostKeyChecking=yes -o UserKnownHostsFile={path}"
    if preparation.config.ssh_host_keys is HostKeyPolicy.ACCEPT_NEW:
        return f"{options}-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={places.sockets}/known_hosts"
    return f"{options}-o StrictHostKeyChecking=yes"


def _environment(preparation: Preparation, config: Path) -> dict[str, str]:
    """All that the play gets besides what ansible-runner's callback needs; values here beat the project's settings."""
    environment = preparation.spec.options.env | variables(preparation, preparation.secrets.environment)
    environment |= base_environment(preparation) | {"ANSIBLE_CONFIG": str(config)}
    if preparation.spec.options.strategy is not None:
        environment["ANSIBLE_STRATEGY"] = preparation.spec.options.strategy
    if directories := ansible_cfg.callback_plugins(config):
        environment["ANSIBLE_CALLBACK_PLUGINS"] = directories
    return environment
