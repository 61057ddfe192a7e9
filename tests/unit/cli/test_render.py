"""How events, outcomes and problems look."""

import io

import pytest
from rich.console import Console

from ansible_api.cli.client import explain
from ansible_api.cli.exits import Exit, exit_of
from ansible_api.cli.live import Progress, TerminalViewer, terminal
from ansible_api.cli.render import duration, event_style, event_text, job_table, outcome, recap
from ansible_api.events.types import Event
from ansible_api.jobs.state import Status

JOB = {
    "id": "job-1",
    "status": "error",
    "source": {"commit": "0123456789abcdef"},
    "timings": {"queued": 60.0, "playing": 2.5},
    "error": {"code": "unknown_ref", "message": "no branch\nx"},
}
HOST = {"host": "web1", "ok": 3, "changed": 1, "failed": 0, "unreachable": 0, "skipped": 0, "rescued": 1, "ignored": 0}


def event(kind: str, stdout: str = "", host: str | None = None, **more: object) -> Event:
    return Event(1, "2026-01-15T10:00:00Z", kind, stdout, "play", "task", host, more)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def colour_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80, markup=False)


@pytest.mark.parametrize(
    ("kind", "style"),
    [
        ("playbook_on_task_start", "bold"),
        ("runner_on_ok", "green"),
        ("runner_item_on_failed", "red"),
        ("runner_on_unreachable", "bold red"),
        ("runner_on_skipped", "cyan"),
        ("something_new", ""),
    ],
)
def test_an_event_has_the_colour_ansible_gives(kind: str, style: str) -> None:
    assert event_style(event(kind)) == style


def test_a_change_is_yellow() -> None:
    assert event_style(event("runner_on_ok", changed=True)) == "yellow"


def test_colours_of_ansible_itself_are_kept() -> None:
    text = event_text(event("runner_on_ok", "\x1b[0;31mred\x1b[0m\x1b[2J"))
    assert text is not None
    console = colour_console()
    console.print(text)
    assert "\x1b[31mred" in printed(console)
    assert "\x1b[2J" not in printed(console)


def test_an_event_without_text_prints_nothing() -> None:
    assert event_text(event("runner_on_start", "")) is None
    assert event_text(event("runner_on_start", "\x1b[K\n")) is None


def test_square_brackets_are_text_and_not_markup() -> None:
    text = event_text(event("runner_on_ok", "ok: [bold] => [/red]"))
    assert text is not None
    assert text.plain == "ok: [bold] => [/red]"


def test_the_recap_has_a_row_per_host() -> None:
    console = colour_console()
    console.print(recap([HOST, HOST | {"host": "web\x1b[2J2", "failed": 2}]))
    assert "web1" in printed(console)
    assert "web2" in printed(console)
    assert "\x1b[2J" not in printed(console)


def test_the_outcome_says_status_time_commit_and_reason() -> None:
    assert outcome(JOB).plain == "job-1 error after 2.5 s, commit 0123456789ab\nunknown_ref: no branch x"


def test_durations_are_in_minutes_when_long() -> None:
    assert duration({"playing": 125.0}) == "2 min 5 s"
    assert duration({}) is None


def test_a_pipe_and_no_color_get_no_escape_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    text = event_text(event("playbook_on_task_start", "\x1b[1mTASK\x1b[0m"))
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal(io.StringIO())
    console.print(text)
    assert printed(console) == "TASK\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    console = terminal(io.StringIO())
    console.print(text)
    assert printed(console) == "TASK\n"


def test_long_lines_are_not_broken() -> None:
    console = terminal(io.StringIO())
    TerminalViewer(console).event(event("runner_on_ok", "x" * 500))
    assert printed(console) == "x" * 500 + "\n"


def test_progress_counts_the_hosts_that_are_done_with_the_task() -> None:
    progress = Progress()
    for item in (
        event("playbook_on_play_start"),
        event("playbook_on_task_start"),
        event("runner_on_start", host="a"),
        event("runner_on_start", host="b"),
        event("runner_on_ok", host="a"),
    ):
        progress.take(item)
    assert progress.__rich__().plain == "0:00 · play · task · 1/2 hosts"
    progress.take(event("playbook_on_task_start"))
    assert "0/2 hosts" in progress.__rich__().plain


def test_a_problem_is_a_line_per_field() -> None:
    problem = {
        "title": "Invalid request",
        "code": "invalid_request",
        "detail": "2 fields are wrong",
        "request_id": "r-1",
        "errors": [{"pointer": "/source/repo", "detail": "give a git URL"}, {"pointer": "", "detail": "too much"}],
    }
    assert explain(422, problem).splitlines() == [
        "2 fields are wrong (invalid_request)",
        "  source.repo: give a git URL",
        "  request: too much",
        "  request: r-1",
    ]


def test_every_status_has_an_exit_code() -> None:
    codes = {status: exit_of(status) for status in Status}
    assert codes[Status.SUCCESSFUL] is Exit.SUCCESSFUL
    assert codes[Status.LOST] is Exit.ERROR
    assert {codes[Status.QUEUED], codes[Status.RUNNING]} == {Exit.UNFINISHED}
    assert exit_of("something new") is Exit.ERROR


def test_a_job_id_is_never_cut_however_narrow_the_terminal_is() -> None:
    job = {"id": "job-00t4279nhf3mj2va8xpxaa6", "status": "successful", "source": {"repo": "/a/playbooks.git"}}
    console = Console(width=40, record=True, file=io.StringIO())
    console.print(job_table([job]), soft_wrap=True)
    assert "job-00t4279nhf3mj2va8xpxaa6  successful" in console.export_text()
