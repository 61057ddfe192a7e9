"""Traces: what a request, an attempt, its phases and its tasks took, as spans of the caller's trace.

Off unless OpenTelemetry's own variables name a receiver; then nothing of it is imported, and a span only hands on the
trace that it is part of.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ansible_api.tracing.otlp import Recorder

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LAST_MOMENTS = 2.0  # seconds that the end of a process may take to send what is left
Attributes = Mapping[str, str | int | float | None]  # None: left out


class Kind(StrEnum):
    """A span's side of a call, by OpenTelemetry's names."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span:
    """Something under way that nobody records; `traceparent` (W3C Trace Context) hands its trace on."""

    recorded = False

    def __init__(self, traceparent: str | None = None) -> None:
        self.traceparent = traceparent

    def child(self, name: str, *, at: float | None = None, attributes: Attributes | None = None) -> "Span":
        """Part of it, from now or from that Unix time."""
        return Span(self.traceparent)

    def note(self, attributes: Attributes, *, name: str | None = None, error: str | None = None) -> None:
        """Add to what is told of it; never a secret, and nothing unbounded."""

    def end(self, at: float | None = None) -> None:
        """It ended, now or at that Unix time; what comes later changes nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self.note({}, error=type(error).__name__)
        self.end()


class _Process:
    """What this process has started; a child of a worker starts its own."""

    recorder: "Recorder | None" = None


def wanted() -> bool:
    """Whether the environment names a receiver."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and any(os.environ.get(name) for name in ENDPOINTS)


def preload() -> None:
    """Before the first fork: each child would take the time of the imports."""
    if wanted():
        import ansible_api.tracing.otlp  # noqa: F401


def start(service: str) -> None:
    """Record from now on, in this process alone, if that is wanted."""
    if _Process.recorder is None and wanted():
        from ansible_api.tracing.otlp import Recorder

        _Process.recorder = Recorder(service)


def stop() -> None:
    """Send what is left, within a time limit, and record no more."""
    recorder, _Process.recorder = _Process.recorder, None
    if recorder is not None:
        recorder.stop(LAST_MOMENTS)


def begin(
    name: str,
    *,
    parent: str | None,
    kind: Kind = Kind.INTERNAL,
    at: float | None = None,
    attributes: Attributes | None = None,
) -> Span:
    """Something begins, as part of the `parent` (a traceparent) or of a new trace."""
    if _Process.recorder is None:
        return Span(parent)
    return _Process.recorder.begin(name, parent, kind, at, attributes or {})


def trace_id(traceparent: str | None) -> str | None:
    """The trace that a traceparent belongs to."""
    return traceparent.split("-")[1] if traceparent else None
