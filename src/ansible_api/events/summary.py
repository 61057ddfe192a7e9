"""A running recap of a play, folded from its events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_api.events.types import Event

COUNTERS = ("ok", "changed", "failed", "unreachable", "skipped", "rescued", "ignored")
# What Ansible's own final statistics call our counters.
STATS_NAMES = {"failed": "failures", "unreachable": "dark"}

Counts = dict[str, int]
MOST = 2**31 - 1


@dataclass(slots=True)
class Summary:
    """Counts per host, and where the play stands."""

    hosts: dict[str, Counts] = field(default_factory=dict)
    play: str | None = None
    task: str | None = None
    last_seq: int = 0

    def add(self, event: Event) -> None:
        """Fold one event in."""
        self.last_seq = event.seq
        self.play, self.task = event.play or self.play, event.task or self.task
        if event.type == "playbook_on_stats":
            if not event.result.get("truncated"):
                self._replace(event.result)
        elif event.host and (counter := _counter(event)):
            self._count(event.host, counter, changed=bool(event.result.get("changed")))

    def _count(self, host: str, counter: str, *, changed: bool) -> None:
        counts = self.hosts.setdefault(host, dict.fromkeys(COUNTERS, 0))
        counts[counter] += 1
        if counter == "ignored":
            counts["ok"] += 1
        if changed and counter in ("ok", "ignored"):
            counts["changed"] += 1

    def _replace(self, stats: Mapping[str, Any]) -> None:
        """Ansible's final numbers: only they know which failures were rescued."""
        numbers = {counter: stats.get(STATS_NAMES.get(counter, counter)) or {} for counter in COUNTERS}
        hosts = sorted({host for by_host in numbers.values() for host in by_host})
        self.hosts = {host: {counter: _number(numbers[counter].get(host, 0)) for counter in COUNTERS} for host in hosts}


def _number(told: Any) -> int:
    """A play can say what it likes; the database takes so much."""
    return max(0, min(int(told), MOST))


def _counter(event: Event) -> str | None:
    match event.type:
        case "runner_on_ok":
            return "ok"
        case "runner_on_failed":
            return "ignored" if event.result.get("ignore_errors") else "failed"
        case "runner_on_unreachable":
            return "unreachable"
        case "runner_on_skipped":
            return "skipped"
        case _:
            return None
