"""What `ansible-inventory` found out, as the one file that the play reads: no plugin runs a second time."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ansible_api.errors import JobError
from ansible_api.execution.inventory_yaml import TEMPLATE, Unsafe, Vaulted, to_yaml
from ansible_api.jobs.inventories import InlineInventory

# How ansible-core writes what is no plain text (_internal/_json/_profiles/_legacy.py).
UNSAFE, VAULT = "__ansible_unsafe", "__ansible_vault"
# Names of which a YAML inventory makes something else: a range of hosts, a host and its port; and what no name holds.
_MISREAD = re.compile(r".*\[[^\]]*:[^\]]*\].*|[^:]*:\d+|.*\]:\d+|.*[\x00-\x1f\x7f\u2028\u2029].*|", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Members:
    """The hosts right in a group, and the groups right below it."""

    hosts: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """Every host, in the order in which plays take them, and who is in which group."""

    hosts: tuple[str, ...]
    groups: Mapping[str, Members]

    @classmethod
    def of_inline(cls, inventory: InlineInventory) -> Self:
        """The tree of an inventory that stands in the request."""
        groups = {name: Members(tuple(group.hosts), tuple(group.children)) for name, group in inventory.tree.items()}
        grouped = {host for name, group in groups.items() if name not in ("all", "ungrouped") for host in group.hosts}
        hosts = inventory.all_hosts
        return cls(hosts, groups | {"ungrouped": Members(tuple(host for host in hosts if host not in grouped))})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        groups = {name: Members(tuple(hosts), tuple(below)) for name, (hosts, below) in document["groups"].items()}
        return cls(tuple(document["hosts"]), groups)

    def as_json(self) -> dict[str, Any]:
        """A document of JSON's types."""
        groups = {name: [members.hosts, members.children] for name, members in self.groups.items()}
        return {"hosts": self.hosts, "groups": groups}

    def below(self, group: str) -> set[str]:
        """All hosts of a group and of those below it."""
        if group == "all":
            return set(self.hosts)
        seen, waiting = {group}, [group]
        hosts: set[str] = set()
        while waiting:
            members = self.groups.get(waiting.pop(), Members())
            hosts |= set(members.hosts)
            new = set(members.children) - seen
            seen |= new
            waiting += new
        return hosts


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The file's text, and what is in it."""

    text: str
    tree: Tree


def snapshot_of(listing: bytes) -> Snapshot:
    """From what inventory_driver prints; JobError inventory_invalid for names that no inventory file can hold."""
    document = json.loads(listing)
    meta = document.pop("_meta")
    groups = {name: Members(tuple(it.get("hosts", ())), tuple(it.get("children", ()))) for name, it in document.items()}
    tree = Tree(tuple(meta["order"]), groups)
    check_names([*tree.hosts, *groups, *(child for members in groups.values() for child in members.children)])
    hosts = {host: _marked(meta["hostvars"].get(host, {})) for host in tree.hosts}
    everything = {"hosts": hosts, "vars": _marked(document.get("all", {}).get("vars", {}))}
    below = {
        name: {"hosts": dict.fromkeys(members.hosts), "children": dict.fromkeys(members.children)}
        | {"vars": _marked(document[name].get("vars", {}))}
        for name, members in groups.items()
        if name != "all"
    }
    return Snapshot(to_yaml({"all": everything | {"children": below}}), tree)


def check_names(names: Iterable[str]) -> None:
    """JobError inventory_invalid for a host or group whose name would be read as something else, or templated."""
    for name in names:
        if misread(name) or TEMPLATE.search(name):
            raise JobError("inventory_invalid", f"{ascii(name)[:100]} cannot be the name of a host or group: rename it")


def misread(name: str) -> bool:
    """Whether a YAML inventory takes this name for something else."""
    return bool(_MISREAD.fullmatch(name))


def _marked(value: Any) -> Any:
    """Ansible's own marks as types."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, text),) = value.items()
            if isinstance(text, str) and name in (UNSAFE, VAULT):
                return Unsafe(text) if name == UNSAFE else Vaulted(text)
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return value
