"""Gathers inventories as a worker does, without playing on their hosts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_api.credentials.secrets import Opened, Secrets
from ansible_api.egress import Policy
from ansible_api.errors import JobError
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.inventory import Gathered, gather
from ansible_api.execution.mask import Mask
from ansible_api.execution.preparation import Assignment, ExecutionConfig, InventoryLimits, Preparation
from ansible_api.execution.sandbox import choose
from ansible_api.execution.source import GitLimits
from ansible_api.execution.workspace import workspace
from ansible_api.jobs.spec import JobSpec
from ansible_api.settings import MIB, Isolation

SOURCE = {"type": "playbook", "repo": "/nowhere", "path": "site.yml"}
NOTHING = Dependencies()
LIMITS = InventoryLimits(timeout=30, size=4 * MIB)
GIT_LIMITS = GitLimits()
LOOPBACK = Policy(allow_loopback=True)


@dataclass
class Gatherer:
    """A worker's inventory phase in a directory of its own."""

    root: Path
    policy: Policy = LOOPBACK
    limits: InventoryLimits = LIMITS
    git: GitLimits = GIT_LIMITS
    secrets: Mapping[str, Opened] = field(default_factory=dict)
    keep_going: Callable[[], bool] = lambda: True
    isolation: Isolation = Isolation.NONE
    project: Mapping[str, str] = field(default_factory=dict)
    commit: str = "c0ffee"
    needed: Dependencies = NOTHING
    number: int = 0

    @contextmanager
    def gathered(self, inventory: Any, **options: Any) -> Iterator[Gathered]:
        """What the play would get, while its workspace lives."""
        spec = JobSpec.model_validate({"source": SOURCE, "inventory": inventory, "options": options})
        config = ExecutionConfig(
            self.root / "work",
            self.root / "cache",
            self.isolation,
            egress=self.policy,
            git=self.git,
            inventory=self.limits,
        )
        self.number += 1
        marker = f"gather-{self.root.parent.name}-{self.root.name}-{self.number}.1"
        with workspace(config.work_dir, marker) as room:
            room.project.mkdir(mode=0o700)
            for name, text in self.project.items():
                (room.project / name).parent.mkdir(parents=True, exist_ok=True)
                (room.project / name).write_text(text)
            secrets = Secrets(self.secrets)
            assignment = Assignment(marker, 1, spec, secrets)
            mask = Mask(secrets.values())
            yield gather(
                Preparation(assignment, config, room, choose(self.isolation), mask, lambda: self.keep_going()),
                self.needed,
                self.commit,
            )

    def facts(self, inventory: Any, **options: Any) -> dict[str, Any]:
        """What callers see."""
        with self.gathered(inventory, **options) as found:
            return found.facts

    def refusal(self, inventory: Any, **options: Any) -> JobError:
        """The error that it ends with."""
        with pytest.raises(JobError) as caught, self.gathered(inventory, **options):
            pass
        return caught.value

    def with_limits(self, **limits: Any) -> "Gatherer":
        """The same with other limits."""
        return replace(self, limits=replace(self.limits, **limits))
