"""Traces while nobody wants them, and the spans of an attempt as a receiver gets them."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ansible_api import tracing
from ansible_api.events.types import Event
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Phase
from ansible_api.tasks.trace import AttemptTrace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def unwanted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    yield
    tracing.stop()


def job(**columns: object) -> Job:
    now = datetime.now(UTC)
    given = {"id": "job-1", "attempt": 1, "team": "red", "key_id": "key-1", "queue": "default"}
    times = {"queued_at": now - timedelta(seconds=5), "started_at": now}
    return Job(**given | times | {"trace_parent": PARENT} | columns)


def test_without_a_receiver_a_span_hands_on_the_trace_that_it_is_part_of() -> None:
    tracing.start("test")
    with tracing.begin("anything", parent=PARENT) as span:
        span.note({"a": 1}, error="b")
        assert span.child("more").traceparent == span.traceparent == PARENT
    assert tracing.begin("anything", parent=None).traceparent is None


def test_without_a_receiver_nothing_that_would_send_to_one_is_imported() -> None:
    program = """
import sys
from ansible_api import tracing
import ansible_api.api.app, ansible_api.tasks.trace
tracing.preload()
tracing.start("test")
print([name for name in sys.modules if name.startswith(("opentelemetry.exporter", "google.protobuf"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_opentelemetrys_own_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert tracing.wanted()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not tracing.wanted()


def test_an_attempt_that_nobody_traces_costs_no_look_at_its_events() -> None:
    trace = AttemptTrace(job())
    trace.phase(Phase.PLAYING)
    trace.event(Event(seq=1, time="no time at all", type="playbook_on_task_start", stdout=""))
    trace.end("successful", None)


def test_log_lines_of_a_job_carry_its_trace_when_it_has_one() -> None:
    about = {"job_id": "job-1", "attempt": 1, "queue": "default", "key_id": "key-1"}
    assert job().log_fields == about | {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert job(trace_parent=None).log_fields == about
