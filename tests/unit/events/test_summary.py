"""The recap of a play that is too large to be told whole."""

from ansible_api.events.summary import Summary
from ansible_api.execution.convert import to_event
from ansible_api.execution.mask import Mask


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
