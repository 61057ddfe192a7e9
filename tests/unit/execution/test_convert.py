import json
from typing import Any

import pytest

from ansible_api.events.types import Event
from ansible_api.execution.convert import RESULT_LIMIT, excerpt, to_event
from ansible_api.execution.mask import MASK, Mask


def convert(mask: Mask | None = None, **raw: Any) -> Event:
    return to_event(3, {"event": "runner_on_ok", **raw}, mask or Mask([]))


def test_an_event_carries_names_time_and_result() -> None:
    data = {"play": "p", "task": "t", "host": "h", "res": {"msg": "hi", "changed": True}}
    event = convert(created="2026-01-02T03:04:05.000006+01:00", stdout="ok: [h]", event_data=data)
    assert event == Event(3, "2026-01-02T02:04:05.000006Z", "runner_on_ok", "ok: [h]", "p", "t", "h", data["res"])


def test_module_arguments_and_private_marks_are_dropped_also_in_loops() -> None:
    one = {"invocation": {"module_args": {"password": "x"}}, "_ansible_no_log": False, "rc": 0}
    event = convert(event_data={"res": {**one, "results": [one, "text"]}})
    assert event.result == {"rc": 0, "results": [{"rc": 0}, "text"]}


def test_an_ignored_failure_says_so() -> None:
    event = convert(event="runner_on_failed", event_data={"res": {"rc": 1}, "ignore_errors": True})
    assert event.result == {"rc": 1, "ignore_errors": True}


def test_stats_are_the_result_of_the_last_event() -> None:
    event = convert(event="playbook_on_stats", event_data={"ok": {"a": 1}, "dark": {}, "playbook": "x"})
    assert event.result == {"ok": {"a": 1}, "dark": {}}


def test_secrets_are_masked_in_every_part() -> None:
    data = {"play": "p s3cret", "task": "s3cret", "host": "s3cret", "res": {"s3cret": ["s3cret"]}}
    event = convert(Mask(["s3cret"]), stdout="a s3cret b", event_data=data)
    assert "s3cret" not in event.to_json()
    assert event.result == {MASK: [MASK]}


def test_a_secret_across_the_cut_is_masked_before_it_is_cut() -> None:
    secret = "0123456789" * 10
    event = convert(Mask([secret]), event_data={"res": {"stdout": "x" * 4090 + secret + "y" * RESULT_LIMIT}})
    assert "0123" not in event.to_json()


@pytest.mark.parametrize(
    "raw",
    [
        {"event": 5, "event_data": "x"},
        {"event": "../etc", "created": 7, "stdout": ["x"]},
        {"event_data": {"res": [1], "play": {}, "host": 3}},
        {"event_data": {"res": {"results": "x"}}},
        {"created": "0001-01-01T00:00:00+23:59"},
        {"stdout": "\ud800", "event_data": {"host": "\udfff"}},
    ],
)
def test_nonsense_becomes_an_event_all_the_same(raw: dict[str, Any]) -> None:
    event = convert(**raw)
    assert Event.from_json(event.to_json().encode()) == event
    assert event.time.endswith("Z")


@pytest.mark.parametrize(
    "document",
    [
        {"text": "x" * 100_000, "rc": 3},
        {"lines": ["y" * 50] * 10_000, "rc": 3},
        {"rc": 3, **{f"key{number}": "z" * 100 for number in range(5000)}},
        {"deep": json.loads("[" * 500 + "]" * 500), "fill": "x" * 20_000, "rc": 3},
        {
            "wide": {f"a{number}": {f"b{other}": ["c" * 60] * 30 for other in range(50)} for number in range(50)},
            "rc": 3,
        },
    ],
)
def test_an_excerpt_fits_and_keeps_the_return_code(document: dict[str, Any]) -> None:
    short = excerpt(document, RESULT_LIMIT)
    assert len(json.dumps(short, ensure_ascii=False, separators=(",", ":"))) <= RESULT_LIMIT
    assert short["rc"] == 3
    assert "more" in json.dumps(short) or "truncated" in json.dumps(short)


def test_what_fits_is_left_as_it_is() -> None:
    document = {"a": ["x" * 5000], "b": None}
    assert excerpt(document, RESULT_LIMIT) == document


def test_lone_surrogates_in_a_result_do_not_reach_the_event() -> None:
    stats = {"event": "playbook_on_stats", "event_data": {"ok": {"web\udcff": 1}}}
    task = {"event": "runner_on_ok", "event_data": {"res": {"stdout": "bytes \udcff", "é": 1}}}

    for raw in (stats, task):
        assert "?" in to_event(1, raw, Mask([])).to_json().encode().decode()
