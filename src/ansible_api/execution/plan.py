"""What a job would do, from `ansible-playbook --list-hosts --list-tasks`, which touches no managed host."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_api.errors import JobError, TransientJobError
from ansible_api.events.types import Event
from ansible_api.execution.convert import to_event
from ansible_api.execution.mask import MASK
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.sandbox import Command
from ansible_api.execution.tool import ToolTimedOut, run_tool
from ansible_api.execution.verdict import refusal

TIMEOUT = 300.0
OUTPUT_LIMIT = 16 * 1024 * 1024
MOST_HOSTS = 100  # named of each play
MOST_TASKS = 1000  # named in all
MOST_PLAYS = 200
MOST_TEXT = 512 * 1024  # characters of all names, hosts and tags: every look at the job carries them
NAME_LIMIT = 255
_PLAYBOOK = re.compile(r"playbook: (?P<name>.*)")
_PLAY = re.compile(r"  play #\d+ \((?P<pattern>.*?)\): (?P<name>.*?)\tTAGS: \[(?P<tags>.*)\]")
_HOSTS = re.compile(r"    hosts \((?P<count>\d+)\):")
_TASK = re.compile(r"      (?P<name>.*?)\tTAGS: \[(?P<tags>.*)\]")
_SECRET_NAME = re.compile(r"pass|secret|token|credential|private|api_?key", re.IGNORECASE)


def make_plan(preparation: Preparation, command: Command) -> tuple[dict[str, Any], Event]:
    """The plan as callers see it, and its text for the log; JobError as Ansible refuses the playbooks."""
    listing = replace(command, argv=(command.argv[0], "--list-hosts", "--list-tasks", *command.argv[1:]))
    try:
        done = run_tool(
            listing,
            preparation.room,
            preparation.sandbox,
            timeout=TIMEOUT,
            keep_going=preparation.keep_going,
            mask=preparation.mask,
            limit=OUTPUT_LIMIT,
        )
    except ToolTimedOut:
        raise TransientJobError("plan_timed_out", f"listing the tasks took more than {TIMEOUT:g} seconds") from None
    text = preparation.mask.text(done.stdout.decode(errors="replace"))
    if done.code:
        raise JobError(*refusal(done.code, done.stderr + text))
    plan = {"playbooks": parse(text), "variables": redacted_variables(preparation)}
    return plan, to_event(1, {"event": "verbose", "stdout": text}, preparation.mask)


def parse(text: str) -> list[dict[str, Any]]:
    """Playbooks with their plays, hosts and tasks, as far as the limits allow; names come from the repository."""
    reader = _Reader()
    for line in text.splitlines():
        reader.take(line)
    return reader.playbooks


class _Reader:
    """Goes through the listing line by line."""

    def __init__(self) -> None:
        self.playbooks: list[dict[str, Any]] = []
        self._play: dict[str, Any] | None = None
        self._in_hosts = False
        self._plays = self._tasks = 0
        self._left = MOST_TEXT

    def take(self, line: str) -> None:
        if found := _PLAYBOOK.fullmatch(line):
            self.playbooks.append({"playbook": _cut(found["name"]), "plays": []})
            self._play = None
        elif self.playbooks and (found := _PLAY.fullmatch(line)):
            self._begin_play(found)
        elif self._play is not None:
            self._take_part(self._play, line)

    def _begin_play(self, found: re.Match[str]) -> None:
        self._play = {
            "name": _cut(found["name"]),
            "pattern": _cut(found["pattern"]),
            "tags": _tags(found["tags"]),
            "host_count": 0,
            "hosts": [],
            "tasks": [],
        }
        self._in_hosts = False
        self._plays += 1
        fits = self._fits(self._play["name"], self._play["pattern"], *self._play["tags"])
        if self._plays <= MOST_PLAYS and fits:
            self.playbooks[-1]["plays"].append(self._play)

    def _take_part(self, play: dict[str, Any], line: str) -> None:
        if found := _HOSTS.fullmatch(line):
            play["host_count"] = int(found["count"])
            self._in_hosts = True
        elif line == "    tasks:":
            self._in_hosts = False
        elif self._in_hosts and line.startswith("      "):
            host = _cut(line.strip())
            if len(play["hosts"]) < MOST_HOSTS and self._fits(host):
                play["hosts"].append(host)
        elif found := _TASK.fullmatch(line):
            task: dict[str, Any] = {"name": _cut(found["name"]), "tags": _tags(found["tags"])}
            self._tasks += 1
            if self._tasks <= MOST_TASKS and self._fits(task["name"], *task["tags"]):
                play["tasks"].append(task)

    def _fits(self, *texts: str) -> bool:
        """Whether there is room for these as well, which is then taken."""
        length = sum(map(len, texts))
        if length > self._left:
            return False
        self._left -= length
        return True


def redacted_variables(preparation: Preparation) -> dict[str, Any]:
    """What the play would be given, without the values of what is, or is called, secret."""
    spec = preparation.spec
    given = {**getattr(spec.source, "role_vars", {}), **spec.extra_vars}
    return _without_secrets(preparation.mask.document(given))


def _without_secrets(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: MASK if _SECRET_NAME.search(name) else _inside(value) for name, value in variables.items()}


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_secrets(value)
    return [_inside(item) for item in value] if isinstance(value, list) else value


def _tags(text: str) -> list[str]:
    return [_cut(tag.strip()) for tag in text.split(",") if tag.strip()][:MOST_HOSTS]


def _cut(text: str) -> str:
    return text[:NAME_LIMIT]
