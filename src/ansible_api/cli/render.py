"""How events, jobs and counts look on a terminal; only styles, no decisions."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ansible_api.cli.text import clean, clean_line, has_colour
from ansible_api.events.types import Event

Json = dict[str, Any]

STATUS_STYLE = {
    "queued": "cyan",
    "running": "blue",
    "successful": "green",
    "failed": "red",
    "error": "bold red",
    "lost": "bold red",
    "timed_out": "red",
    "canceled": "yellow",
}
COUNTS = {
    "ok": "green",
    "changed": "yellow",
    "failed": "red",
    "unreachable": "bold red",
    "skipped": "cyan",
    "rescued": "magenta",
    "ignored": "magenta",
}
# By the end of the event type, the longest first: runner_on_ok, runner_item_on_ok, …
_EVENT_STYLE = {
    "on_play_start": "bold",
    "on_task_start": "bold",
    "handler_task_start": "bold",
    "on_unreachable": "bold red",
    "on_failed": "red",
    "on_skipped": "cyan",
    "on_retry": "magenta",
    "on_ok": "green",
    "error": "red",
    "warning": "magenta",
    "deprecated": "magenta",
}


def event_style(event: Event) -> str:
    """The colour that Ansible itself would give."""
    for end, style in _EVENT_STYLE.items():
        if event.type.endswith(end):
            changed = style == "green" and event.result.get("changed") is True
            return "yellow" if changed else style
    return ""


def event_text(event: Event) -> Text | None:
    """What a play printed for an event, in its own colours or ours; None when it printed nothing."""
    text = clean(event.stdout).rstrip("\n")
    if not text.strip():
        return None
    return Text.from_ansi(text) if has_colour(text) else Text(text, event_style(event))


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(clean_line(status), STATUS_STYLE.get(status, ""))


def recap(hosts: Sequence[Json]) -> Table:
    """The counts of each host."""
    table = Table("host", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in COUNTS:
        table.add_column(name, justify="right")
    for item in hosts:
        bad = item.get("failed") or item.get("unreachable")
        cells = [_count(item.get(name, 0), style) for name, style in COUNTS.items()]
        table.add_row(Text(clean_line(item.get("host", "?")), "red" if bad else "green"), *cells)
    return table


def _count(number: int, style: str) -> Text:
    return Text(str(number), style if number else "dim")


def outcome(job: Json) -> Text:
    """The last word on a job: id, status, duration, commit, and why it was not successful."""
    text = Text.assemble(clean_line(job["id"]), " ", status_text(job["status"]))
    if (took := duration(job.get("timings"))) is not None:
        text.append(f" after {took}")
    if commit := (job.get("source") or {}).get("commit"):
        text.append(f", commit {clean_line(commit)[:12]}")
    if error := job.get("error"):
        text.append(f"\n{clean_line(error.get('code'))}: {clean_line(error.get('message'))}", "red")
    return text


def duration(timings: Json | None) -> str | None:
    """The time in all phases but the queue, in words."""
    if not timings:
        return None
    seconds = sum(value for name, value in timings.items() if name != "queued")
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def job_table(jobs: Sequence[Json]) -> Text:
    """Jobs, one a line. Not a Table: rich would cut ids to fit a narrow terminal, and a cut id is of no use."""
    heads = ("job", "status", "queue", "created (UTC)", "source")
    rows = [heads, *(_job_row(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    table = Text()
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        style = "bold" if row is heads else STATUS_STYLE.get(row[1], "")
        table.append(f"{cells[0]}  ").append(cells[1], style).append(f"  {'  '.join(cells[2:]).rstrip()}\n")
    table.rstrip()
    return table


def _job_row(job: Json) -> tuple[str, ...]:
    created = (job.get("created_at") or "").replace("T", " ")[:19]
    return tuple(clean_line(text) for text in (job["id"], job["status"], job.get("queue") or "", created, _source(job)))


def _source(job: Json) -> str:
    source = job.get("source") or {}
    path = source.get("path") or source.get("role") or ""
    name = str(source.get("repo") or source.get("collection") or "").rstrip("/").rpartition("/")[2]
    return clean_line(f"{name} {' '.join(path) if isinstance(path, list) else path}")


def queue_table(queues: Sequence[Json]) -> Table:
    """Queues, one a line."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("queue", "waiting", "delayed", "oldest", "running", "slots", "workers", "state"):
        table.add_column(name, justify="left" if name in ("queue", "state") else "right")
    for queue in queues:
        oldest, workers = queue.get("oldest_seconds"), queue["workers"]
        draining = sum(1 for worker in workers if worker.get("drain_at"))
        state, style = ("paused", "yellow") if queue.get("paused_at") else ("", "")
        if not workers and queue["depth"]:
            state, style = "no worker", "bold red"
        table.add_row(
            clean_line(queue["name"]),
            str(queue["depth"]),
            str(queue["delayed"]),
            "" if oldest is None else duration({"waiting": oldest}),
            str(queue["running"]),
            f"{queue['busy']}/{queue['slots']}",
            f"{len(workers)}" + (f" ({draining} draining)" if draining else ""),
            Text(state, style),
        )
    return table


def job_details(job: Json) -> Table:
    """Everything about one job."""
    table = Table("", "", box=None, show_header=False)
    for name, value in job.items():
        if value not in (None, {}, []):
            shown = ", ".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else value
            table.add_row(Text(name, "bold"), status_text(value) if name == "status" else Text(clean_line(shown)))
    return table
