"""Watching on a terminal or in a pipe: what the play prints, a progress line below it, and the recap."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ansible_api.cli.client import Client, Unreachable
from ansible_api.cli.exits import CommandError, Exit, exit_of
from ansible_api.cli.follow import Follower
from ansible_api.cli.render import event_text, outcome, recap
from ansible_api.cli.text import clean_line
from ansible_api.events.types import Event

Json = dict[str, Any]


def terminal(file: TextIO | None = None) -> Console:
    """A console that prints text as it is; without colours where there is no terminal or NO_COLOR is set."""
    file = file or sys.stdout
    if reconfigure := getattr(file, "reconfigure", None):
        reconfigure(errors="replace")  # a play may print what the locale cannot
    system = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=file, color_system=system, markup=False, highlight=False, emoji=False)  # type: ignore[arg-type]


def print_json(document: Any) -> None:
    """One document, one line."""
    typer.echo(json.dumps(document, ensure_ascii=False))


@dataclass
class Progress:
    """Where the play is: a fold over its events."""

    play: str = ""
    task: str = ""
    hosts: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    _started: float = field(default_factory=time.monotonic, init=False)

    def take(self, event: Event) -> None:
        """Go on by one event."""
        if event.type == "playbook_on_play_start":
            self.play, self.task, self.done = event.play or "", "", set()
        elif event.type.endswith("task_start"):
            self.task, self.done = event.task or "", set()
        elif event.type.startswith("runner_") and event.host:
            self.hosts.add(event.host)
            if event.type in ("runner_on_ok", "runner_on_failed", "runner_on_skipped", "runner_on_unreachable"):
                self.done.add(event.host)

    def __rich__(self) -> Text:
        """The progress line, redrawn by the terminal's clock."""
        seconds = int(time.monotonic() - self._started)
        parts = [clean_line(part) for part in (self.play or "waiting for the play", self.task) if part]
        if self.hosts:
            parts.append(f"{len(self.done)}/{len(self.hosts)} hosts")
        text = Text(" · ".join([f"{seconds // 60}:{seconds % 60:02}", *parts]), "dim", no_wrap=True)
        text.overflow = "ellipsis"
        return text


class Viewer(Protocol):
    """Shows what comes in while a job is watched."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def event(self, event: Event) -> None:
        """Show an event."""

    def gap(self, error: Unreachable) -> None:
        """Say that the connection was lost for now."""

    def end(self, job: Json, hosts: Callable[[], list[Json]]) -> None:
        """Show the outcome; `hosts` fetches the counts."""


class JsonViewer:
    """`{"event": …}` a line, then `{"job": …}`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def event(self, event: Event) -> None:
        """One line."""
        print_json({"event": asdict(event)})

    def gap(self, error: Unreachable) -> None:
        """Nothing: the lines go on where they stopped."""

    def end(self, job: Json, hosts: Callable[[], list[Json]]) -> None:
        """The last line."""
        print_json({"job": job})


class TerminalViewer:
    """What Ansible prints, in colour; on a terminal with a progress line that goes away at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress()
        self._live = Live(self._progress, console=console, transient=True, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def event(self, event: Event) -> None:
        """Its text, but not Ansible's own recap: ours follows."""
        self._progress.take(event)
        text = event_text(event)
        if text is not None and event.type != "playbook_on_stats":
            self._console.print(text, soft_wrap=True)

    def gap(self, error: Unreachable) -> None:
        """One line, so that a silence is understood."""
        self._console.print(Text(f"connection lost ({clean_line(error)}), trying again", "dim"), soft_wrap=True)

    def end(self, job: Json, hosts: Callable[[], list[Json]]) -> None:
        """The recap and the outcome."""
        self._live.stop()
        try:
            counts = hosts()
        except CommandError as error:
            self._console.print(Text(f"no recap: {error}", "dim"), soft_wrap=True)
            counts = []
        if counts:
            self._console.print()
            self._console.print(recap(counts))
        self._console.print()
        self._console.print(outcome(job), soft_wrap=True)


def watch_job(client: Client, job_id: str, viewer: Viewer) -> Exit:
    """Follow a job to its end; Ctrl-C leaves it running and says how to end it."""
    try:
        with viewer:
            for item in Follower(client, job_id, viewer.gap):
                if isinstance(item, Event):
                    viewer.event(item)
                else:
                    viewer.end(item, lambda: client.hosts(job_id))
                    return exit_of(item["status"])
    except KeyboardInterrupt:
        typer.echo(f"\n{job_id} goes on; to end it: ansible-api cancel {job_id}", err=True)
        return Exit.INTERRUPTED
    raise AssertionError("a follower ends with the job")


def viewer(as_json: bool) -> Viewer:
    """The viewer for --json or for people."""
    return JsonViewer() if as_json else TerminalViewer(terminal())
