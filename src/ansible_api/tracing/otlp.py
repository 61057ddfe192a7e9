"""Spans for an OTLP receiver over HTTP; the only importer of OpenTelemetry.

Spans wait in a queue of bounded length for a thread that sends them: a receiver that is slow or away costs spans, and
never time. OpenTelemetry's own variables (OTEL_*) configure the rest.
"""

import os
import threading

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ansible_api import __version__
from ansible_api.tracing import Attributes, Kind, Span


class RecordedSpan(Span):
    """A span that is sent when it has ended."""

    recorded = True

    def __init__(self, tracer: Tracer, span: OtelSpan) -> None:
        self._tracer, self._span = tracer, span
        own = span.get_span_context()
        super().__init__(f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}")

    def child(self, name: str, *, at: float | None = None, attributes: Attributes | None = None) -> Span:
        context = set_span_in_context(self._span, Context())
        began = self._tracer.start_span(name, context, attributes=_present(attributes or {}), start_time=_ns(at))
        return RecordedSpan(self._tracer, began)

    def note(self, attributes: Attributes, *, name: str | None = None, error: str | None = None) -> None:
        self._span.set_attributes(_present(attributes))
        if name is not None:
            self._span.update_name(name)
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))

    def end(self, at: float | None = None) -> None:
        if self._span.is_recording():
            self._span.end(_ns(at))


class Recorder:
    """What records the spans of one process."""

    def __init__(self, service: str) -> None:
        self._provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("ansible-api", __version__)

    def begin(self, name: str, parent: str | None, kind: Kind, at: float | None, attributes: Attributes) -> Span:
        """A span below the parent, in its trace."""
        context = TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {}, Context())
        began = self._tracer.start_span(
            name, context, SpanKind[kind.value], attributes=_present(attributes), start_time=_ns(at)
        )
        return RecordedSpan(self._tracer, began)

    def stop(self, patience: float) -> None:
        """Send what is left; after `patience` seconds it is dropped."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(patience)


def _resource(service: str) -> Resource:
    """The names that OpenTelemetry's variables give win over ours."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if named else {"service.name": service})


def _present(attributes: Attributes) -> dict[str, str | int | float]:
    return {name: value for name, value in attributes.items() if value is not None}


def _ns(at: float | None) -> int | None:
    return None if at is None else int(at * 1e9)
