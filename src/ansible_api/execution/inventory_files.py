"""Puts each inventory of a job into its workspace, as files that Ansible's inventory plugins read."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_api.credentials.secrets import Variables
from ansible_api.errors import JobError
from ansible_api.execution.inventory_names import config_file_name
from ansible_api.execution.inventory_url import fetch_inventory
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.project import check_out_location
from ansible_api.execution.source import resolve_inside
from ansible_api.execution.workspace import write_private
from ansible_api.jobs.inventories import (
    DynamicInventory,
    GitInventory,
    InlineGroup,
    InlineInventory,
    Inventory,
    UrlInventory,
)

# What may read the files of a repository; its own configurations of other plugins come in through `auto`.
OF_REPOSITORIES = ("script", "auto", "yaml", "ini", "toml", "constructed")
OF_FORMATS = {"yaml": "yaml", "json": "yaml", "ini": "ini"}
ENDINGS = {"yaml": "yml", "json": "yml", "ini": "ini"}


@dataclass(frozen=True, slots=True)
class Source:
    """One inventory as `-i` takes it; `pointer` is its place in the request."""

    pointer: str
    path: Path
    plugins: tuple[str, ...]
    is_config: bool = False  # a plugin's configuration that came with the job
    variables: tuple[Variables, ...] = ()  # of its own credential


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """A git inventory's files; `directory` is where group_vars and host_vars lie beside them."""

    path: Path
    directory: Path
    commit: str


def check_out(preparation: Preparation, pointer: str, inventory: GitInventory, directory: Path) -> CheckedOut:
    """The commit's files; JobError as `source.checkout` raises them, inventory_not_found, path_outside_repository."""
    try:
        found = check_out_location(preparation, pointer, inventory, directory)
        path = _inside(directory, inventory.path)
    except JobError as error:
        raise type(error)(error.job_code, f"{pointer.removeprefix('/')}: {error.detail}") from None
    return CheckedOut(path, path if path.is_dir() else path.parent, found.commit)


def lay(
    preparation: Preparation, pointer: str, inventory: Inventory, files: CheckedOut | None, directory: Path, time: float
) -> Source:
    """The inventory's file; an answer of a server must come within `time` seconds."""
    match inventory:
        case InlineInventory():
            directory.mkdir(mode=0o700)
            return Source(pointer, write_inline(inventory, directory), ("yaml",))
        case DynamicInventory():
            directory.mkdir(mode=0o700)
            own = preparation.secrets.get(f"{pointer}/cloud_credential", Variables)
            path = write_dynamic(inventory, directory)
            return Source(pointer, path, (inventory.plugin,), is_config=True, variables=(own,) if own else ())
        case GitInventory():
            assert files is not None  # noqa: S101 - checked out before
            return Source(pointer, files.path, OF_REPOSITORIES)
        case UrlInventory():
            directory.mkdir(mode=0o700)
            return _fetched(preparation, pointer, inventory, directory, time)


def write_inline(inventory: InlineInventory, directory: Path) -> Path:
    """The file for `--inventory`; never executable."""
    # YAML, not JSON: Ansible's JSON reader gives a meaning to keys such as __ansible_vault.
    text = yaml.dump(as_tree(inventory), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return write_private(directory / "hosts.yml", text)


def write_dynamic(inventory: DynamicInventory, directory: Path) -> Path:
    """The plugin's configuration, named as the plugin insists on."""
    # The plugin comes first: where it fails, no reader of other forms finds a host in the rest.
    config = {"plugin": inventory.plugin, **inventory.config}
    text = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return write_private(directory / config_file_name(inventory.plugin), text)


def as_tree(inventory: InlineInventory) -> dict[str, Any]:
    """Hosts and groups in the form of a static YAML inventory."""
    everything: dict[str, Any] = {"hosts": {host: inventory.host_vars.get(host, {}) for host in inventory.all_hosts}}
    groups: dict[str, Any] = {name: _group(group) for name, group in inventory.tree.items()}
    if variables_of_all := groups.pop("all", {}).get("vars"):  # its hosts are in `everything` already
        everything["vars"] = variables_of_all
    for name, variables in inventory.group_vars.items():
        group = everything if name == "all" else groups.setdefault(name, {})
        group["vars"] = {**group.get("vars", {}), **variables}
    return {"all": everything | {"children": groups}}


def _group(group: InlineGroup) -> dict[str, Any]:
    members = {"hosts": dict.fromkeys(group.hosts), "children": dict.fromkeys(group.children), "vars": group.vars}
    return {name: value for name, value in members.items() if value or name == "hosts"}


def _fetched(preparation: Preparation, pointer: str, inventory: UrlInventory, directory: Path, time: float) -> Source:
    config = preparation.config
    try:
        text = fetch_inventory(
            inventory,
            preparation.secrets.get(f"{pointer}/credential", Variables),
            config.egress,
            timeout=time,
            limit=config.inventory.size,
            keep_going=preparation.keep_going,
        )
    except JobError as error:
        raise type(error)(error.job_code, f"{pointer.removeprefix('/')}: {error.detail}") from None
    path = write_private(directory / f"hosts.{ENDINGS[inventory.format]}", text)
    return Source(pointer, path, (OF_FORMATS[inventory.format],))


def _inside(root: Path, relative: str) -> Path:
    """The path as the request names it, so that what lies beside a link counts; nothing of it leads out."""
    path = root / relative
    try:
        mode = resolve_inside(root, relative).stat().st_mode
    except OSError:
        mode = 0
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise JobError("inventory_not_found", f"the repository has no file or directory {relative}: correct path")
    for directory, names, files in os.walk(path):
        for name in [*names, *files]:
            if (Path(directory) / name).is_symlink():
                resolve_inside(root, os.path.relpath(Path(directory) / name, root))
    return path


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out: an alias of a large value is no gain in a file that is read once."""
        return True
