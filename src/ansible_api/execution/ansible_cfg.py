"""The ansible.cfg of a play: the project's own settings over our defaults, but not where secrets and artifacts go."""

import configparser
import io
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_api.errors import JobError
from ansible_api.execution.source import resolve_inside
from ansible_api.execution.workspace import write_private

SIZE_LIMIT = 256 * 1024

# Ours alone: they say where logs, sockets and temporary files go and how events reach us.
OURS = {
    "defaults": (
        "log_path",
        "local_tmp",
        "retry_files_enabled",
        "retry_files_save_path",
        "stdout_callback",
    ),
    "ssh_connection": ("control_path", "control_path_dir"),
    "inventory": ("enable_plugins",),
}
# The job's credential takes the place of the file that the project names; without one the project's holds.
REPLACED: dict[str, dict[str, tuple[str, ...]]] = {
    "ssh": {"defaults": ("private_key_file",)},
    "become_password": {"defaults": ("become_password_file",)},
    "vault_password": {"defaults": ("vault_password_file", "vault_identity", "vault_identity_list")},
}
# ssh takes the first value it is given, and these come after every other argument that Ansible passes it: what
# project or inventory say about host keys goes before.
SSH_ARGUMENTS = ("ssh_extra_args", "sftp_extra_args", "scp_extra_args")

# ansible-core's own, where neither the project nor the job says more.
COLLECTIONS_PATH = "~/.ansible/collections:/usr/share/ansible/collections"
ROLES_PATH = "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where the project says nothing; `credentials` are the fields of Secrets that the job names."""

    forks: int
    local_tmp: Path
    control_dir: Path
    ssh_options: str
    credentials: frozenset[str]
    inventory_plugins: str
    collections: tuple[Path, ...] = ()
    roles: tuple[Path, ...] = ()


def write_config(project: Path, defaults: Defaults) -> Path:
    """The merged file, beside the project's own: relative paths in it keep their meaning."""
    merged = merge(_read(project), defaults)
    text = io.StringIO()
    merged.write(text)
    # A name that the repository cannot have taken.
    return write_private(project / f".ansible-api-{secrets.token_hex(8)}.cfg", text.getvalue())


def callback_plugins(config: Path) -> str | None:
    """The directories of callback plugins that the project names."""
    parser = _parser()
    parser.read(config, encoding="utf-8")
    return parser.get("defaults", "callback_plugins", fallback=None)


def collections_path(config: Path) -> str | None:
    """Where the project looks for collections."""
    parser = _parser()
    parser.read(config, encoding="utf-8")
    return parser.get("defaults", "collections_path", fallback=None)


def merge(project: str, defaults: Defaults) -> configparser.ConfigParser:
    """Our defaults overlaid with the text of the project's ansible.cfg."""
    theirs = _parser()
    try:
        theirs.read_string(project)
    except configparser.Error as error:
        raise JobError("ansible_cfg_invalid", f"ansible.cfg: {_first_line(error)}") from None
    _drop(theirs, OURS)
    for credential in sorted(defaults.credentials & REPLACED.keys()):
        _drop(theirs, REPLACED[credential])
    merged = _parser()
    merged.read_dict(_our_values(defaults))
    merged.read_dict({section: dict(theirs.items(section)) for section in theirs.sections()})
    for name, ours, default in (
        ("collections_path", defaults.collections, COLLECTIONS_PATH),
        ("roles_path", defaults.roles, ROLES_PATH),
    ):
        if ours:
            given = theirs.get("defaults", name, fallback="") or default
            merged.set("defaults", name, ":".join([*map(str, ours), given]))
    for name in SSH_ARGUMENTS:
        given = theirs.get("ssh_connection", name, fallback="")
        merged.set("ssh_connection", name, f"{given} {defaults.ssh_options}".strip())
    return merged


def _our_values(defaults: Defaults) -> Mapping[str, Mapping[str, str]]:
    return {
        "defaults": {
            "host_key_checking": "True",
            "nocows": "True",
            "forks": str(defaults.forks),
            "local_tmp": str(defaults.local_tmp),
        },
        "ssh_connection": {"control_path_dir": str(defaults.control_dir)},
        "inventory": {"enable_plugins": defaults.inventory_plugins},
    }


def _parser() -> configparser.ConfigParser:
    # As ansible-core reads it.
    return configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))


def _drop(parser: configparser.ConfigParser, names: Mapping[str, tuple[str, ...]]) -> None:
    for section, options in names.items():
        for option in options:
            parser.remove_option(parser.default_section, option)  # it reaches into all others
            if parser.has_section(section):
                parser.remove_option(section, option)


def _read(project: Path) -> str:
    """The project's ansible.cfg, which may be a link within the project but to nowhere else."""
    if not os.path.lexists(project / "ansible.cfg"):
        return ""
    path = resolve_inside(project, "ansible.cfg")
    if not path.is_file() or path.stat().st_size > SIZE_LIMIT:
        raise JobError("ansible_cfg_invalid", f"ansible.cfg is not a file of at most {SIZE_LIMIT} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobError("ansible_cfg_invalid", f"ansible.cfg cannot be read: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).replace("\n", " ")[:300]
