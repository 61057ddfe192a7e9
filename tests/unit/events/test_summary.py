"""The recap that is folded from events."""

from typing import Any

import pytest

from ansible_api.events.summary import COUNTERS, Summary
from ansible_api.events.types import Event
from ansible_api.execution.convert import to_event
from ansible_api.execution.mask import Mask


def folded(*events: tuple[str, str | None, dict[str, Any]]) -> Summary:
    summary = Summary()
    for seq, (kind, host, result) in enumerate(events, 1):
        summary.add(Event(seq, "2026-01-01T00:00:00Z", kind, play="p", task=f"t{seq}", host=host, result=result))
    return summary


def counts(summary: Summary, host: str = "a") -> dict[str, int]:
    """The counters that are not zero."""
    return {name: count for name, count in summary.hosts[host].items() if count}


@pytest.mark.parametrize(
    ("kind", "result", "expected"),
    [
        ("runner_on_ok", {}, {"ok": 1}),
        ("runner_on_ok", {"changed": True}, {"ok": 1, "changed": 1}),
        ("runner_on_failed", {}, {"failed": 1}),
        ("runner_on_failed", {"changed": True}, {"failed": 1}),
        ("runner_on_failed", {"ignore_errors": True}, {"ok": 1, "ignored": 1}),
        ("runner_on_failed", {"ignore_errors": True, "changed": True}, {"ok": 1, "ignored": 1, "changed": 1}),
        ("runner_on_unreachable", {}, {"unreachable": 1}),
        ("runner_on_skipped", {}, {"skipped": 1}),
    ],
)
def test_each_result_counts_as_in_ansibles_recap(kind: str, result: dict[str, Any], expected: dict[str, int]) -> None:
    assert counts(folded((kind, "a", result))) == expected


@pytest.mark.parametrize("kind", ["runner_on_start", "runner_item_on_ok", "runner_retry", "playbook_on_task_start"])
def test_other_events_count_nothing(kind: str) -> None:
    assert folded((kind, "a", {})).hosts == {}


def test_hosts_are_counted_apart_and_add_up() -> None:
    summary = folded(("runner_on_ok", "a", {}), ("runner_on_ok", "b", {}), ("runner_on_ok", "a", {"changed": True}))
    assert (counts(summary), counts(summary, "b")) == ({"ok": 2, "changed": 1}, {"ok": 1})


def test_the_final_statistics_replace_what_was_counted() -> None:
    stats = {"ok": {"a": 5}, "failures": {"b": 1}, "dark": {"c": 1}, "rescued": {"a": 2}, "processed": {"a": 1}}
    summary = folded(("runner_on_failed", "a", {}), ("playbook_on_stats", None, stats))
    assert list(summary.hosts) == ["a", "b", "c"]
    assert [counts(summary, host) for host in "abc"] == [{"ok": 5, "rescued": 2}, {"failed": 1}, {"unreachable": 1}]
    assert all(set(numbers) == set(COUNTERS) for numbers in summary.hosts.values())


def test_play_task_and_number_are_those_of_the_last_event_that_says_them() -> None:
    summary = folded(("runner_on_ok", "a", {}))
    summary.add(Event(9, "2026-01-01T00:00:00Z", "verbose", "text"))
    assert (summary.play, summary.task, summary.last_seq) == ("p", "t1", 9)


def test_ten_thousand_hosts_keep_their_final_numbers() -> None:
    hosts = {f"web-{number:05d}.production.example.com": 3 for number in range(10_000)}
    stats = {"ok": hosts, "changed": hosts, "processed": hosts, "skipped": hosts}
    raw = {"event": "playbook_on_stats", "event_data": stats}
    summary = Summary()

    summary.add(to_event(1, raw, Mask([])))

    assert len(summary.hosts) == 10_000
    assert {counts["ok"] for counts in summary.hosts.values()} == {3}


def test_numbers_that_are_too_many_leave_what_was_counted() -> None:
    task = {"event": "runner_on_ok", "event_data": {"host": "web1", "res": {}}}
    stats = {"ok": {"x" * 1000 + str(number): 1 for number in range(6_000)}}
    summary = Summary()

    summary.add(to_event(1, task, Mask([])))
    summary.add(to_event(2, {"event": "playbook_on_stats", "event_data": stats}, Mask([])))

    assert {host: counts["ok"] for host, counts in summary.hosts.items()} == {"web1": 1}


def test_numbers_that_no_database_takes_are_bounded() -> None:
    summary = folded(("playbook_on_stats", None, {"ok": {"a": 10**30}, "failures": {"a": -7}}))
    assert counts(summary) == {"ok": 2**31 - 1}
