"""Which hosts options.limit leaves, before anything is played on them."""

import re
from collections.abc import Iterator, Sequence

from ansible_api.errors import JobError
from ansible_api.execution.inventory_snapshot import Tree
from ansible_api.execution.workspace import Workspace, write_private
from ansible_api.jobs.options import Options

_LITERAL = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
_HEADING = re.compile(r"\s*hosts \(\d+\):")


def limit_arguments(options: Options, room: Workspace) -> Iterator[str]:
    """The limit as Ansible's commands take it; a long list has no room on a command line."""
    if isinstance(options.limit, str):
        yield from ("--limit", options.limit)
    elif options.limit is not None:
        path = room.inventory / "limit"
        if not path.exists():
            write_private(path, "".join(f"{host}\n" for host in options.limit))
        yield from ("--limit", f"@{path}")


def literal_matches(limit: str | Sequence[str] | None, tree: Tree) -> list[str] | None:
    """The hosts in their order; None when only Ansible can tell what the pattern means."""
    if limit is None:
        return list(tree.hosts)
    names = _names(limit)
    if not all(_LITERAL.fullmatch(name) for name in names):
        return None
    known, matched = set(tree.hosts), set[str]()
    for name in names:
        is_group = name == "all" or name in tree.groups
        if is_group:
            matched |= tree.below(name)
        if name in known and (not is_group or "." in name):  # as Ansible has it: a group hides a host
            matched.add(name)
    return [host for host in tree.hosts if host in matched]


def listed_hosts(output: str) -> list[str]:
    """From what `ansible --list-hosts` prints."""
    _, _, rest = output.partition("\n") if _HEADING.match(output) else ("", "", "")
    return [line[4:] for line in rest.splitlines() if line.strip()]


def check_matches(options: Options, tree: Tree, matched: Sequence[str]) -> None:
    """JobError inventory_empty, limit_matches_nothing or too_many_hosts."""
    if not tree.hosts:
        raise JobError("inventory_empty", "the inventory has no hosts: correct inventory")
    if not matched:
        raise JobError("limit_matches_nothing", f"correct options.limit: none of {len(tree.hosts)} hosts matches it")
    if options.max_hosts is not None and len(matched) > options.max_hosts:
        raise JobError(
            "too_many_hosts",
            f"{len(matched)} hosts would be played on, and options.max_hosts is {options.max_hosts}: "
            "narrow options.limit, or raise it",
        )


def _names(limit: str | Sequence[str]) -> list[str]:
    if not isinstance(limit, str):
        return list(limit)
    return [name.strip() for name in limit.split("," if "," in limit else ":")]
