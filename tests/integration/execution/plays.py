"""Runs real plays for the tests of this folder."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_api import processes
from ansible_api.credentials.secrets import Secrets
from ansible_api.events.types import Event
from ansible_api.execution.artifacts import Artifacts, Found
from ansible_api.execution.execute import PhaseStarted, execute
from ansible_api.execution.preparation import Assignment, ExecutionConfig
from ansible_api.execution.sandbox import Guard
from ansible_api.execution.verdict import Outcome
from ansible_api.execution.workspace import MARKER
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Phase, StopReason

LOCAL = {"ansible_connection": "local"}
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]


def repository(path: Path, files: dict[str, str]) -> Path:
    """A git repository with these files; a text `-> target` makes a symbolic link."""
    path.mkdir(parents=True)
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            file.symlink_to(text.removeprefix("-> "))
        else:
            file.write_text(text)
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*GIT, "-C", str(path), *arguments], check=True)
    return path


def spec_of(repo: Path, playbook: str = "site.yml", hosts: tuple[str, ...] = ("a",), **parts: Any) -> JobSpec:
    """A job that plays on hosts with a local connection."""
    inventory = {"type": "inline", "hosts": list(hosts), "group_vars": {"all": LOCAL}}
    source = {"type": "playbook", "repo": str(repo), "path": playbook}
    return JobSpec.model_validate({"source": source, "inventory": inventory, **parts})


@dataclass
class Trial:
    """One execution and what it reported."""

    config: ExecutionConfig
    secrets: Secrets = field(default_factory=Secrets)
    guard: Guard | None = None
    # Strays are found by the job's id: no two test runs on this machine may share one.
    job_id: str = field(default_factory=lambda: f"job-{uuid.uuid4().hex}")
    events: list[Event] = field(default_factory=list)
    phases: list[PhaseStarted] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    files: list[Found] = field(default_factory=list)
    pulse: Callable[[], StopReason | None] = lambda: None
    on_report: Callable[[PhaseStarted], None] = lambda phase: None

    def run(self, spec: JobSpec) -> Outcome:
        return execute(
            Assignment(self.job_id, 1, spec, self.secrets, self.guard),
            self.config,
            emit=self.events.append,
            report=self._report,
            pulse=lambda: self.pulse(),
            conclude=self._conclude,
        )

    def _conclude(self, outcome: Outcome, found: Artifacts) -> None:
        self.data = dict(found.data)
        self.files = list(found.files())

    def _report(self, started: PhaseStarted) -> None:
        self.phases.append(started)
        self.on_report(started)

    @property
    def marker(self) -> str:
        return f"{self.job_id}.1"

    @property
    def playing(self) -> bool:
        return any(started.phase is Phase.PLAYING for started in self.phases)

    @property
    def text(self) -> str:
        """Everything that left the worker."""
        return "\n".join(event.to_json() for event in self.events)

    def result(self, task: str) -> dict[str, Any]:
        """The result of a task on its only host."""
        (event,) = [event for event in self.events if event.task == task and event.type.startswith("runner_on_ok")]
        return dict(event.result)

    def leftovers(self) -> list[str]:
        """What is left of the attempt: files, secrets, processes."""
        from ansible_api.execution import workspace  # its private names say where secrets lie

        rooms = [str(path) for path in self.config.work_dir.iterdir() if path.name != ".lock"]
        secrets = [str(path) for path in Path("/dev/shm").glob(workspace._prefix(self.config.work_dir) + "*")]
        return [*rooms, *secrets, *map(str, processes.marked(MARKER, self.marker))]


def command_lines() -> Iterator[tuple[int, str]]:
    """Pid and command line of every process but this one."""
    for name in (path.name for path in Path("/proc").iterdir()):
        if name.isdigit() and int(name) != os.getpid():
            try:
                yield (
                    int(name),
                    Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"),
                )
            except OSError:
                continue


def running(command: str) -> list[int]:
    """Pids whose whole command line is this one."""
    return [pid for pid, line in command_lines() if line.strip() == command]
