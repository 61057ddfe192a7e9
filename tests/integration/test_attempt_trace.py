"""The spans of an attempt, as a real receiver gets them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ansible_api import tracing
from ansible_api.events.types import Event
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Phase
from ansible_api.tasks.trace import AttemptTrace
from tests.servers.otlp import OtlpReceiver, Received, otlp_receiver

TRACE, REQUEST = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
START = datetime(2026, 1, 15, 10, tzinfo=UTC)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
        tracing.start("test")
        yield running
        running.closing.set()
        tracing.stop()


def job(**columns: Any) -> Job:
    given = {"id": "job-1", "attempt": 2, "team": "red", "key_id": "key-1", "queue": "default"}
    times = {"queued_at": START - timedelta(seconds=5), "started_at": START}
    return Job(**given | times | {"trace_parent": f"00-{TRACE}-{REQUEST}-01"} | columns)


def event(kind: str, second: float, **more: Any) -> Event:
    moment = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Event(seq=1, time=moment, type=kind, stdout="", play="all", **more)


def told(receiver: OtlpReceiver) -> dict[str, Received]:
    """All spans by their names, once this process has sent what it had."""
    tracing.stop()
    return {span.name: span for span in receiver.spans}


def test_an_attempt_has_its_wait_its_phases_and_its_tasks_in_the_callers_trace(receiver: OtlpReceiver) -> None:
    trace = AttemptTrace(job())
    trace.phase(Phase.SOURCE)
    trace.phase(Phase.PLAYING)
    trace.event(event("playbook_on_task_start", 1, task="Install"))
    trace.event(event("runner_on_ok", 2, host="web1"))
    trace.event(event("playbook_on_task_start", 3, task="Start"))
    trace.event(event("runner_on_failed", 4, host="web1", result={"rc": 1}))
    trace.event(event("playbook_on_stats", 5))
    trace.phase(Phase.FINISHING)
    trace.end("failed", "play_failed")
    spans = told(receiver)

    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert {spans[name].parent_id for name in ("job queued", "job attempt")} == {REQUEST}
    assert spans["job queued"].ended - spans["job queued"].began == pytest.approx(5)
    attempt, playing = spans["job attempt"], spans["phase playing"]
    assert {spans[f"phase {name}"].parent_id for name in ("source", "playing", "finishing")} == {attempt.span_id}
    install, start = spans["task Install"], spans["task Start"]
    assert (install.parent_id, start.parent_id) == (playing.span_id, playing.span_id)
    assert (install.ended - install.began, start.ended - start.began) == (pytest.approx(2), pytest.approx(2))
    assert (install.failed, start.failed, attempt.failed) == (False, True, True)
    assert start.attributes == {"ansible.play": "all", "ansible.hosts.failed": 1}
    assert attempt.attributes["ansible_api.status"] == "failed"
    assert attempt.attributes["ansible_api.job_id"] == "job-1"


def test_a_failure_that_is_ignored_is_none(receiver: OtlpReceiver) -> None:
    trace = AttemptTrace(job())
    trace.phase(Phase.PLAYING)
    trace.event(event("playbook_on_task_start", 1, task="Try"))
    trace.event(event("runner_on_failed", 2, host="web1", result={"ignore_errors": True}))
    trace.end("successful", None)
    spans = told(receiver)
    assert not any(span.failed for span in spans.values())
    assert spans["task Try"].attributes["ansible.hosts.ignored"] == 1


def test_a_job_without_a_trace_begins_one(receiver: OtlpReceiver) -> None:
    with tracing.begin("request", parent=None) as span:
        parent = span.traceparent
    AttemptTrace(job(trace_parent=parent)).end("successful", None)
    spans = told(receiver)
    assert spans["request"].parent_id == ""
    assert spans["job attempt"].parent_id == spans["request"].span_id


def test_a_caller_who_does_not_sample_is_heeded(receiver: OtlpReceiver) -> None:
    trace = AttemptTrace(job(trace_parent=f"00-{TRACE}-{REQUEST}-00"))
    trace.phase(Phase.SOURCE)
    trace.end("successful", None)
    assert told(receiver) == {}


def test_a_receiver_that_hangs_costs_no_time_and_no_memory(receiver: OtlpReceiver) -> None:
    receiver.hung = True
    trace = AttemptTrace(job())
    trace.phase(Phase.PLAYING)
    began = time.monotonic()
    for number in range(5000):
        trace.event(event("playbook_on_task_start", number, task=f"task {number}"))
    trace.end("successful", None)
    assert time.monotonic() - began < 20
    tracing.stop()
    assert time.monotonic() - began < 20 + tracing.LAST_MOMENTS * 2
