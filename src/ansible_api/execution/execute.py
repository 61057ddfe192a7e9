"""The story of one attempt: workspace → source → dependencies → inventory → runner → outcome.

Plain functions of values: what happens is told through callables, and nothing here knows database, broker or web.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ansible_api.credentials.secrets import Secrets
from ansible_api.errors import JobError, LeaseLost
from ansible_api.events.types import Event
from ansible_api.execution import runner
from ansible_api.execution.command import prepare_command
from ansible_api.execution.inventory import write_inventory
from ansible_api.execution.mask import Mask
from ansible_api.execution.sandbox import Command, Play, Sandbox, choose
from ansible_api.execution.source import Checkout, GitLimits, checkout
from ansible_api.execution.verdict import Outcome, Tally, judge
from ansible_api.execution.workspace import Workspace, workspace
from ansible_api.jobs.spec import GitLocation, JobSpec
from ansible_api.jobs.state import Phase, Status, StopReason
from ansible_api.settings import HostKeyPolicy, Isolation, Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one job."""

    job_id: str
    attempt: int
    spec: JobSpec
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """What the worker decides; times in seconds."""

    work_dir: Path
    cache_dir: Path
    isolation: Isolation = Isolation.AUTO
    timeout: int = 3600
    cancel_grace: float = 5.0
    ssh_host_keys: HostKeyPolicy = HostKeyPolicy.STRICT
    git: GitLimits = GitLimits()  # noqa: RUF009 - frozen

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            work_dir=settings.state_dir / "work",
            cache_dir=settings.state_dir / "git",
            isolation=settings.isolation,
            timeout=settings.default_timeout,
            cancel_grace=settings.cancel_grace,
            ssh_host_keys=settings.ssh_host_keys,
            git=GitLimits(
                timeout=settings.source_timeout,
                memory=settings.source_memory,
                size=settings.source_size,
                cache_size=settings.git_cache_size,
                host_keys=settings.ssh_host_keys,
            ),
        )


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """The attempt has come this far; commit and what the git cache gave are known after the source."""

    phase: Phase
    commit: str | None = None
    cache: str | None = None


class Stopped(Exception):
    """The attempt ended early because it was asked to; the caller decides what the job becomes."""

    def __init__(self, reason: StopReason) -> None:
        self.reason = reason
        super().__init__(f"stopped: {reason}")


Report = Callable[[PhaseStarted], None]
Pulse = Callable[[], StopReason | None]


def execute(
    assignment: Assignment,
    config: ExecutionConfig,
    *,
    emit: Callable[[Event], None],
    report: Report,
    pulse: Pulse,
) -> Outcome:
    """Run the attempt to its end.

    Raises JobError when it cannot be run or must be broken off, LeaseLost (also from `report`) and Stopped. Whatever
    happens, no process, file or secret of it is left. Must be called from a thread that lives as long as the play:
    it ends with it.
    """
    mask = Mask(assignment.secrets.values())
    sandbox = choose(config.isolation)
    with workspace(config.work_dir, f"{assignment.job_id}.{assignment.attempt}") as room:
        try:
            command = _prepare(assignment, config, room, sandbox, report, pulse)
        except JobError as error:
            _stop_if_asked(pulse)  # what was interrupted failed for that reason
            raise type(error)(error.job_code, mask.text(error.detail)) from None
        _stop_if_asked(pulse)
        report(PhaseStarted(Phase.PLAYING))  # the point of no return
        play = Play(room.marker, sandbox, config.cancel_grace)
        timeout = assignment.spec.options.timeout or config.timeout
        return _play(play, command, room, mask, timeout, emit, pulse)


def _prepare(
    assignment: Assignment, config: ExecutionConfig, room: Workspace, sandbox: Sandbox, report: Report, pulse: Pulse
) -> Command:
    """All that touches no managed host, and may be repeated."""
    spec, secrets = assignment.spec, assignment.secrets
    report(PhaseStarted(Phase.SOURCE))
    source = _fetch(spec, secrets, config, room, pulse)
    _stop_if_asked(pulse)
    report(PhaseStarted(Phase.DEPENDENCIES, commit=source.commit, cache=source.cache))
    report(PhaseStarted(Phase.INVENTORY))
    inventory = write_inventory(spec.inventory, room.inventory)
    _stop_if_asked(pulse)
    report(PhaseStarted(Phase.STARTING))
    return prepare_command(spec, secrets, room, sandbox.places(room), inventory, config.ssh_host_keys)


def _fetch(spec: JobSpec, secrets: Secrets, config: ExecutionConfig, room: Workspace, pulse: Pulse) -> Checkout:
    if not isinstance(spec.source, GitLocation):
        raise JobError("source_not_supported", f"sources of type {spec.source.type} cannot be run yet")
    return checkout(
        spec.source.repo,
        spec.source.branch,
        secrets.git,
        cache=config.cache_dir,
        secrets_dir=room.secrets,
        destination=room.project,
        limits=config.git,
        keep_going=lambda: pulse() is None,
    )


def _play(
    play: Play,
    command: Command,
    room: Workspace,
    mask: Mask,
    timeout: float,
    emit: Callable[[Event], None],
    pulse: Pulse,
) -> Outcome:
    deadline = time.monotonic() + timeout
    tally = Tally()

    def take(event: Event) -> None:
        tally.take(event)
        emit(event)

    def stop() -> StopReason | None:
        return pulse() or (StopReason.TIMED_OUT if time.monotonic() > deadline else None)

    code, reason = runner.run(play, command, room, mask, emit=take, stop=stop)
    return _outcome(code, reason, tally, timeout)


def _outcome(code: int | None, reason: StopReason | None, tally: Tally, timeout: float) -> Outcome:
    """A play that was done before the wish to stop reached it is judged as it ended."""
    match reason:
        case StopReason.LEASE_LOST:
            raise LeaseLost
        case StopReason.SHUTDOWN if code != 0:
            raise Stopped(reason)
        case StopReason.CANCELED if code != 0:
            return Outcome(Status.CANCELED, code)
        case StopReason.TIMED_OUT if code != 0:
            return Outcome(Status.TIMED_OUT, code, "timed_out", f"the play took longer than {timeout:g} seconds")
        case _:
            return judge(code, tally)


def _stop_if_asked(pulse: Pulse) -> None:
    reason = pulse()
    if reason is StopReason.LEASE_LOST:
        raise LeaseLost
    if reason is not None:
        raise Stopped(reason)
