"""The story of one attempt: workspace → source → dependencies → inventory → runner → outcome.

Plain functions of values: what happens is told through callables, and nothing here knows database, broker or web.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ansible_api.errors import JobError, LeaseLost
from ansible_api.events.types import Event
from ansible_api.execution import runner
from ansible_api.execution.artifacts import Artifacts, artifacts
from ansible_api.execution.command import prepare_command
from ansible_api.execution.dependencies import dependencies
from ansible_api.execution.inventory import gather
from ansible_api.execution.mask import Mask
from ansible_api.execution.plan import make_plan
from ansible_api.execution.preparation import Assignment, ExecutionConfig, Preparation
from ansible_api.execution.project import fetch_project
from ansible_api.execution.sandbox import Command, Play, choose
from ansible_api.execution.verdict import Outcome, Tally, judge
from ansible_api.execution.workspace import workspace
from ansible_api.jobs.state import Phase, Status, StopReason


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """The attempt has come this far; `facts` are what the phase before found out, by the job's columns."""

    phase: Phase
    facts: Mapping[str, Any] = field(default_factory=dict)


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
    conclude: Callable[[Outcome, Artifacts], None],
) -> Outcome:
    """Run the attempt to its end; `conclude` hears of a play's end while what it left can still be read.

    Raises JobError when it cannot be run or must be broken off, LeaseLost (also from `report`) and Stopped. Whatever
    happens, no process, file or secret of it is left. Must be called from a thread that lives as long as the play:
    it ends with it.
    """
    mask = Mask(assignment.secrets.values())
    sandbox = choose(config.isolation)
    with workspace(config.work_dir, f"{assignment.job_id}.{assignment.attempt}") as room, ExitStack() as lent:
        preparation = Preparation(assignment, config, room, sandbox, mask, lambda: pulse() is None)
        try:
            command = _prepare(preparation, lent, report, pulse)
            stop_if_asked(pulse)
            if assignment.spec.options.dry_run is not None:
                return _plan(preparation, command, emit, report)
        except JobError as error:
            stop_if_asked(pulse)  # what was interrupted failed for that reason
            raise type(error)(error.job_code, mask.text(error.detail)) from None
        play = Play(room.marker, sandbox, config.cancel_grace, assignment.guard)
        play.furnish(room)
        report(PhaseStarted(Phase.PLAYING))  # the point of no return
        tally = Tally()
        outcome = _play(play, command, preparation, tally, emit, pulse)
        conclude(outcome, artifacts(room.artifacts, tally.data, mask, config.artifacts))
        return outcome


def _prepare(preparation: Preparation, lent: ExitStack, report: Report, pulse: Pulse) -> Command:
    """All that touches no managed host, and may be repeated; what is `lent` from caches is held through the play."""
    report(PhaseStarted(Phase.SOURCE))
    source = fetch_project(preparation)
    stop_if_asked(pulse)
    report(PhaseStarted(Phase.DEPENDENCIES, source))
    needed = lent.enter_context(dependencies(preparation))
    stop_if_asked(pulse)
    report(PhaseStarted(Phase.INVENTORY, {"dependencies": preparation.mask.document(needed.facts)}))
    inventory = gather(preparation, needed, source.get("commit"))
    stop_if_asked(pulse)
    report(PhaseStarted(Phase.STARTING, {"inventory": inventory.facts}))
    preparation.room.drop_secrets()
    return prepare_command(preparation, needed, inventory)


def _plan(preparation: Preparation, command: Command, emit: Callable[[Event], None], report: Report) -> Outcome:
    """Say what would run, and run nothing."""
    plan, text = make_plan(preparation, command)
    emit(text)
    report(PhaseStarted(Phase.FINISHING, {"plan": plan}))
    return Outcome(Status.SUCCESSFUL, 0)


def _play(
    play: Play, command: Command, preparation: Preparation, tally: Tally, emit: Callable[[Event], None], pulse: Pulse
) -> Outcome:
    options = preparation.spec.options
    clock = _Clock(options.timeout or preparation.config.timeout, options.idle_timeout)

    def take(event: Event) -> None:
        clock.heard()
        tally.take(event)
        emit(event)

    code, reason = runner.run(
        play, command, preparation.room, preparation.mask, emit=take, stop=lambda: pulse() or clock.over()
    )
    return _outcome(code, reason, tally, clock)


class _Clock:
    """How long the play may still go on, in seconds: altogether, and without a word."""

    def __init__(self, timeout: float, idle_timeout: float | None) -> None:
        self.timeout, self.idle_timeout = timeout, idle_timeout
        self._began = self._heard = time.monotonic()

    def heard(self) -> None:
        self._heard = time.monotonic()

    def over(self) -> StopReason | None:
        now = time.monotonic()
        if now - self._began > self.timeout:
            return StopReason.TIMED_OUT
        if self.idle_timeout is not None and now - self._heard > self.idle_timeout:
            return StopReason.IDLE
        return None


def _outcome(code: int | None, reason: StopReason | None, tally: Tally, clock: _Clock) -> Outcome:
    """A play that was done before the wish to stop reached it is judged as it ended."""
    match reason:
        case StopReason.LEASE_LOST if code != 0:
            raise LeaseLost
        case StopReason.SHUTDOWN if code != 0:
            raise Stopped(reason)
        case StopReason.CANCELED if code != 0:
            return Outcome(Status.CANCELED, code)
        case StopReason.TIMED_OUT if code != 0:
            message = f"the play took longer than {clock.timeout:g} seconds: raise options.timeout"
            return Outcome(Status.TIMED_OUT, code, "timed_out", message)
        case StopReason.IDLE if code != 0:
            message = f"the play printed nothing for {clock.idle_timeout:g} seconds: raise options.idle_timeout"
            return Outcome(Status.TIMED_OUT, code, "idle_timed_out", message)
        case _:
            return judge(code, tally)


def stop_if_asked(pulse: Pulse) -> None:
    """Stopped or LeaseLost when the attempt must end."""
    reason = pulse()
    if reason is StopReason.LEASE_LOST:
        raise LeaseLost
    if reason is not None:
        raise Stopped(reason)
