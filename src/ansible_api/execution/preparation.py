"""What every step of an attempt is given: the assignment, what the worker decides, and the private workspace."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ansible_api.credentials.secrets import Secrets
from ansible_api.egress import Policy
from ansible_api.execution.artifacts import ArtifactLimits
from ansible_api.execution.mask import Mask
from ansible_api.execution.sandbox import Guard, Sandbox
from ansible_api.execution.source import GitLimits
from ansible_api.execution.workspace import Workspace
from ansible_api.jobs.spec import JobSpec
from ansible_api.settings import MIB, HostKeyPolicy, Isolation, Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one job."""

    job_id: str
    attempt: int
    spec: JobSpec
    secrets: Secrets
    guard: Guard | None = None


PROXIED = frozenset({"https", "ssh"})  # of git's protocols, those that can go through the guarded proxy


@dataclass(frozen=True, slots=True)
class GalaxyLimits:
    """Where collections and roles come from, and what installing them may take: seconds, bytes."""

    server: str = "https://galaxy.ansible.com"
    timeout: float = 600.0
    cache_size: int = 10 * 1024 * MIB
    ttl: float = 3600.0
    git_schemes: frozenset[str] = PROXIED


@dataclass(frozen=True, slots=True)
class InventoryLimits:
    """What gathering an inventory may take: seconds, bytes."""

    timeout: float = 120.0
    size: int = 16 * MIB


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """What the worker decides; times in seconds."""

    work_dir: Path
    cache_dir: Path
    isolation: Isolation = Isolation.AUTO
    timeout: int = 3600
    cancel_grace: float = 5.0
    ssh_host_keys: HostKeyPolicy = HostKeyPolicy.STRICT
    egress: Policy = Policy()  # noqa: RUF009 - frozen
    git: GitLimits = GitLimits()  # noqa: RUF009 - frozen
    galaxy: GalaxyLimits = GalaxyLimits()
    inventory: InventoryLimits = InventoryLimits()
    artifacts: ArtifactLimits = ArtifactLimits()  # noqa: RUF009 - frozen

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            work_dir=settings.state_dir / "work",
            cache_dir=settings.state_dir / "git",
            isolation=settings.isolation,
            timeout=settings.default_timeout,
            cancel_grace=settings.cancel_grace,
            ssh_host_keys=settings.ssh_host_keys,
            egress=Policy.of(settings),
            git=GitLimits(
                timeout=settings.source_timeout,
                memory=settings.source_memory,
                size=settings.source_size,
                cache_size=settings.git_cache_size,
                host_keys=settings.ssh_host_keys,
                egress=Policy.of(settings),
                schemes=settings.repo_schemes,
            ),
            galaxy=GalaxyLimits(
                server=settings.galaxy_server,
                timeout=settings.galaxy_timeout,
                cache_size=settings.galaxy_cache_size,
                ttl=settings.galaxy_cache_ttl,
                git_schemes=settings.repo_schemes & PROXIED,
            ),
            inventory=InventoryLimits(timeout=settings.inventory_timeout, size=settings.inventory_size),
            artifacts=ArtifactLimits(settings.artifact_files, settings.artifact_size, settings.artifacts_size),
        )


@dataclass(frozen=True, slots=True)
class Preparation:
    """One attempt in its workspace; `keep_going` is false once the attempt is to end."""

    assignment: Assignment
    config: ExecutionConfig
    room: Workspace
    sandbox: Sandbox
    mask: Mask
    keep_going: Callable[[], bool]

    @property
    def spec(self) -> JobSpec:
        return self.assignment.spec

    @property
    def secrets(self) -> Secrets:
        return self.assignment.secrets
