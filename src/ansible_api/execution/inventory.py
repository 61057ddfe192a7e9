"""The inventory of a play as a data file that only Ansible's YAML plugin reads."""

from pathlib import Path
from typing import Any

import yaml

from ansible_api.errors import JobError
from ansible_api.execution.workspace import write_private
from ansible_api.jobs.spec import InlineInventory, Inventory

PLUGINS = "yaml"  # the only inventory plugin that may touch the file: none of them runs it or asks a server


def write_inventory(inventory: Inventory, directory: Path) -> Path:
    """The file for `--inventory`; never executable."""
    if not isinstance(inventory, InlineInventory):
        raise JobError("inventory_not_supported", f"inventories of type {inventory.type} cannot be run yet")
    # YAML, not JSON: Ansible's JSON reader gives a meaning to keys such as __ansible_vault.
    text = yaml.dump(as_tree(inventory), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return write_private(directory / "hosts.yml", text)


def as_tree(inventory: InlineInventory) -> dict[str, Any]:
    """Hosts and groups in the form of a static YAML inventory."""
    everything: dict[str, Any] = {"hosts": {host: inventory.host_vars.get(host, {}) for host in inventory.all_hosts}}
    groups: dict[str, Any] = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in inventory.groups.items()}
    groups.pop("all", None)  # its hosts are in `everything` already
    for name, variables in inventory.group_vars.items():
        group = everything if name == "all" else groups.setdefault(name, {})
        group["vars"] = variables
    return {"all": everything | {"children": groups}}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out: an alias of a large value is no gain in a file that is read once."""
        return True
