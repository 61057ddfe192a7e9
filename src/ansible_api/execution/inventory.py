"""The inventory of a play as a data file that only Ansible's YAML plugin reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_api.errors import JobError
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.workspace import write_private
from ansible_api.jobs.inventories import InlineGroup, InlineInventory

PLUGINS = "yaml"  # the only inventory plugin that may touch the file: none of them runs it or asks a server


@dataclass(frozen=True, slots=True)
class Gathered:
    """The inventory that the play gets, and what callers see of it."""

    path: Path
    facts: dict[str, Any]


def gather(preparation: Preparation, needed: Dependencies) -> Gathered:
    """The hosts of all inventories, merged in order, and those that the limit leaves."""
    (inventory,) = preparation.spec.inventories.values()
    if not isinstance(inventory, InlineInventory):
        raise JobError("inventory_not_supported", f"inventories of type {inventory.type} cannot be run yet")
    path = write_inline(inventory, preparation.room.inventory)
    hosts = len(inventory.all_hosts)
    return Gathered(path, {"host_count": hosts, "matched_count": hosts})


def write_inline(inventory: InlineInventory, directory: Path) -> Path:
    """The file for `--inventory`; never executable."""
    # YAML, not JSON: Ansible's JSON reader gives a meaning to keys such as __ansible_vault.
    text = yaml.dump(as_tree(inventory), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return write_private(directory / "hosts.yml", text)


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


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out: an alias of a large value is no gain in a file that is read once."""
        return True
