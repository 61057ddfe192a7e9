"""Checks what a server answered before Ansible reads it: it is what was said, and it chooses no plugin."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ansible_api.errors import JobError
from ansible_api.execution.inventory_snapshot import check_names
from ansible_api.execution.inventory_yaml import Unsafe, to_yaml

MOST_NODES = 2_000_000  # once every alias is written out
DEEPEST = 100  # of JSON: what stands deep is slow to write
SECTIONS = ("hosts", "children", "vars")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_yaml(text: str) -> str:
    """The text, when it is one YAML mapping without a choice of plugin; JobError inventory_invalid otherwise."""
    try:
        _Events(yaml.parse(text, Loader=_Loader)).check()
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise invalid(f"the answer is not YAML{where}") from None
    return text


def check_ini(text: str) -> str:
    """The text, when no line of it is plainly of another format: the INI reader takes any word for a host."""
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.split(maxsplit=1)[0] if line.strip() else "#"
        if word[0] in "<{}-" or (word.endswith(":") and "=" not in word):
            raise invalid(f"the answer is not INI in line {number}")
    return text


def convert_json(text: str) -> str:
    """A YAML inventory of the answer; of inventory scripts' form every text is data, never a template."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise invalid("the answer is not a JSON object")
    if "plugin" in document:
        raise _chooses_plugin()
    _check_nodes(document)
    try:
        return to_yaml(_from_script(document) if _is_script_like(document) else document)
    except RecursionError:
        raise invalid("the answer is nested too deeply") from None


def _check_nodes(document: Any) -> None:
    """As many as of YAML, level by level."""
    level, count = [document], 0
    for _ in range(DEEPEST):
        count += len(level)
        if count > MOST_NODES:
            raise invalid("the answer holds too many values")
        level = [
            item
            for it in level
            if isinstance(it, dict | list)
            for item in (it.values() if isinstance(it, dict) else it)
        ]
        if not level:
            return
    raise invalid("the answer is nested too deeply")


def invalid(what: str) -> JobError:
    """The error for an answer that is no inventory."""
    return JobError("inventory_invalid", f"{what}: correct format, or what the server answers")


def _chooses_plugin() -> JobError:
    return invalid("the answer names a plugin, which only inventories of type dynamic may")


def _is_script_like(document: Mapping[str, Any]) -> bool:
    """Whether it is what `ansible-inventory --list` and inventory scripts print."""
    groups = [group for group in document.values() if isinstance(group, dict)]
    parts = [group.get(name) for group in groups for name in ("hosts", "children")]
    return "_meta" in document or any(isinstance(part, list) for part in [*parts, *document.values()])


def _from_script(document: Mapping[str, Any]) -> dict[str, Any]:
    """The form of YAML inventories."""
    meta = _object(document.get("_meta", {}), "_meta")
    variables = _object(meta.get("hostvars", {}), "_meta.hostvars")
    groups = {name: _group(name, group) for name, group in document.items() if name != "_meta"}
    everything: dict[str, Any] = groups.pop("all", {})
    children = dict.fromkeys(everything.get("children", {}))
    hosts = dict.fromkeys([*everything.get("hosts", {}), *(host for it in groups.values() for host in it["hosts"])])
    # Variables of hosts that no group has do not make them hosts, as with inventory scripts.
    known = {host: _untrusted(_object(variables.get(host) or {}, f"variables of {host}")) for host in hosts}
    check_names([*hosts, *groups, *children])
    whole = {"hosts": known, "children": children | groups, "vars": everything.get("vars", {})}
    return {"all": whole}


def _group(name: str, group: Any) -> dict[str, Any]:
    if isinstance(group, list):
        group = {"hosts": group}
    group = _object(group, name)
    if strangers := sorted(set(group) - set(SECTIONS)):
        raise invalid(f"the group {ascii(name)[:100]} has {ascii(strangers[0])[:100]}, not only hosts, children, vars")
    return {
        "hosts": dict.fromkeys(_names(group.get("hosts"), name)),
        "children": dict.fromkeys(_names(group.get("children"), name)),
        "vars": _untrusted(_object(group.get("vars") or {}, name)),
    }


def _names(value: Any, group: str) -> list[str]:
    names = list(value) if isinstance(value, list | dict) else [] if value is None else [value]
    if not all(isinstance(name, str) for name in names):
        raise invalid(f"the group {ascii(group)[:100]} has a member that is not a name")
    return names


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{ascii(what)[:100]} is not an object")
    return value


def _untrusted(value: Any) -> Any:
    if isinstance(value, str):
        return Unsafe(value)
    if isinstance(value, dict):
        return {key: _untrusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_untrusted(item) for item in value]
    return value


class _Events:
    """Follows a YAML document without building it: aliases are counted, not written out."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._open: list[list[Any]] = []  # of each open collection: anchor, nodes so far, whether a mapping
        self._sizes: dict[str, int] = {}  # nodes below each anchor
        self._documents = 0

    def check(self) -> None:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise invalid("the answer holds several YAML documents")
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, size, _ = self._open.pop()
                self._count(anchor, size)
            elif isinstance(event, yaml.AliasEvent):
                self._take_key(event)
                self._count(None, self._sizes.get(event.anchor or "", MOST_NODES))
            elif isinstance(event, yaml.ScalarEvent):
                self._take_key(event)
                self._count(event.anchor, 1)
        if not self._documents:
            raise invalid("the answer is empty")

    def _begin(self, event: Any) -> None:
        if not self._open and not isinstance(event, yaml.MappingStartEvent):
            raise invalid("the answer is not a YAML mapping")
        self._take_key(event)
        self._open.append([event.anchor, 1, 0])

    def _take_key(self, event: Any) -> None:
        """At the top of the document every other node is a key."""
        if not self._open:
            if not isinstance(event, yaml.MappingStartEvent):
                raise invalid("the answer is not a YAML mapping")
            return
        if len(self._open) > 1:
            return
        self._open[0][2] += 1
        if self._open[0][2] % 2:
            self._check_key(event)

    @staticmethod
    def _check_key(event: Any) -> None:
        if not isinstance(event, yaml.ScalarEvent) or event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise invalid("the answer has a key at its top that is not plain text")
        if event.value == "plugin":
            raise _chooses_plugin()
        if event.value == "<<":
            raise invalid("the answer merges mappings at its top")

    def _count(self, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._sizes[anchor] = size
        if self._open:
            self._open[-1][1] += size
            if self._open[-1][1] > MOST_NODES:
                raise invalid("the answer is too large once its aliases are written out")
