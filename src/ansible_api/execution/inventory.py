"""The inventory of a play: one file of data, of which it is known before the play whom it would reach."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_api.execution import ansible_cfg
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.inventory_cache import SnapshotCache
from ansible_api.execution.inventory_files import CheckedOut, check_out, lay, write_inline
from ansible_api.execution.inventory_limit import check_matches, literal_matches
from ansible_api.execution.inventory_listing import PLUGINS, Lister
from ansible_api.execution.inventory_snapshot import Snapshot, Tree, misread
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.workspace import write_private
from ansible_api.jobs.inventories import GitInventory, InlineInventory

__all__ = ["PLUGINS", "Gathered", "gather"]
MOST_NAMED = 100  # hosts whose names callers see
EMPTY = "all:\n"


@dataclass(frozen=True, slots=True)
class Gathered:
    """The inventory that the play gets, and what callers see of it.

    `beside` are files without hosts in the directories of further git inventories, whose group_vars and host_vars
    Ansible reads there.
    """

    path: Path
    facts: dict[str, Any]
    beside: tuple[Path, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The options of Ansible's commands."""
        return tuple(part for path in (self.path, *self.beside) for part in ("--inventory", str(path)))


def gather(preparation: Preparation, needed: Dependencies, project: str | None = None) -> Gathered:
    """The hosts of all inventories, merged in order, and those that the limit leaves.

    `project` is the commit of the source. Raises JobError and TransientJobError; docs/api.md lists the codes.
    """
    step = _Step(preparation, needed, project, time.monotonic() + preparation.config.inventory.timeout)
    alone = _alone(preparation)
    return step.inline(alone) if alone else step.others()


def _alone(preparation: Preparation) -> InlineInventory | None:
    """The only inventory, when it needs no Ansible to tell which hosts it has."""
    first, *more = preparation.spec.inventories.values()
    if more or not isinstance(first, InlineInventory) or any(map(misread, first.all_hosts)):
        return None
    return first


@dataclass(frozen=True, slots=True)
class _Step:
    """The gathering of one job."""

    preparation: Preparation
    needed: Dependencies
    project: str | None
    deadline: float

    def inline(self, inventory: InlineInventory) -> Gathered:
        path = write_inline(inventory, self.preparation.room.inventory)
        return Gathered(path, self._facts(path, Tree.of_inline(inventory), {}))

    def others(self) -> Gathered:
        checked_out = self._check_out()
        commits = {pointer: files.commit for pointer, files in checked_out.items()}
        cache = SnapshotCache.of(self.preparation, self.needed, self.project, commits)
        found = cache.get() if cache else None
        facts: dict[str, Any] = {"commits": commits} if commits else {}
        if cache:
            facts["cache"] = "hit" if found else "miss"
        snapshot = found or self._list(checked_out)
        if cache and not found:
            cache.put(snapshot)
        path, *beside = self._place(snapshot, checked_out)
        return Gathered(path, self._facts(path, snapshot.tree, facts), tuple(beside))

    def _check_out(self) -> dict[str, CheckedOut]:
        inventories = enumerate(self.preparation.spec.inventories.items())
        return {
            pointer: check_out(self.preparation, pointer, inventory, self._directory(number))
            for number, (pointer, inventory) in inventories
            if isinstance(inventory, GitInventory)
        }

    def _list(self, checked_out: Mapping[str, CheckedOut]) -> Snapshot:
        sources = [
            lay(
                self.preparation,
                pointer,
                inventory,
                checked_out.get(pointer),
                self._directory(number),
                self.deadline - time.monotonic(),
            )
            for number, (pointer, inventory) in enumerate(self.preparation.spec.inventories.items())
        ]
        return self._lister().listing(sources)

    def _place(self, snapshot: Snapshot, checked_out: Mapping[str, CheckedOut]) -> list[Path]:
        """The snapshot where a git inventory lies, under a name that no repository can have taken."""
        name = f".ansible-api-{secrets.token_hex(8)}.yml"
        directories = list(dict.fromkeys(files.directory for files in checked_out.values()))
        texts = [snapshot.text, *(EMPTY for _ in directories[1:])]
        places = directories or [self.preparation.room.inventory]
        return [write_private(place / name, text) for place, text in zip(places, texts, strict=True)]

    def _facts(self, path: Path, tree: Tree, known: Mapping[str, Any]) -> dict[str, Any]:
        options = self.preparation.spec.options
        matched = literal_matches(options.limit, tree) if tree.hosts else []
        if matched is None:
            matched = self._lister().matches(path)
        check_matches(options, tree, matched)
        counts = {"host_count": len(tree.hosts), "matched_count": len(matched)}
        return {**counts, "matched_hosts": self.preparation.mask.document(matched[:MOST_NAMED]), **known}

    def _lister(self) -> Lister:
        return Lister(self.preparation, self.needed, self._config(), self.deadline)

    def _config(self) -> Path:
        """The project's ansible.cfg holds for its inventory plugins, too."""
        preparation = self.preparation
        places = preparation.sandbox.places(preparation.room)
        defaults = ansible_cfg.Defaults(
            forks=preparation.spec.options.forks,
            local_tmp=places.tmp / "ansible",
            control_dir=places.sockets,
            ssh_options="",
            credentials=frozenset({"vault_password"} if preparation.secrets.vault_passwords else ()),
            inventory_plugins=PLUGINS,
        )
        return ansible_cfg.write_config(preparation.room.project, defaults)

    def _directory(self, number: int) -> Path:
        return self.preparation.room.inventory / str(number)
