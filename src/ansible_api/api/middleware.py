"""What happens around every request: its id, the caller's trace, metrics, a log line, and no traceback for callers."""

import re
import secrets
import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from ansible_api import tracing
from ansible_api.api.errors import problem
from ansible_api.errors import AnsibleApiError
from ansible_api.logs import get_logger
from ansible_api.telemetry import REQUESTS
from ansible_api.tracing import Attributes, Kind, Span

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
TRACE_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET = frozenset({"/health", "/ready", "/metrics"})
log = get_logger(__name__)


@dataclass(slots=True)
class Exchange:
    """One request and what is known of its answer."""

    scope: Scope
    span: Span
    started: float = field(default_factory=time.perf_counter)
    status: int = 0  # 0: nothing was answered yet

    @property
    def route(self) -> str:
        """The template of the address, so that metrics have few labels."""
        return getattr(self.scope.get("route"), "path", "unmatched")

    def record(self) -> None:
        seconds = time.perf_counter() - self.started
        method = self.scope["method"] if self.scope["method"] in METHODS else "other"
        REQUESTS.labels(method, self.route, self.status).observe(seconds)
        self._end_span(method)
        if self.route not in QUIET:
            about = {"method": method, "route": self.route, "status": self.status, "ms": round(1000 * seconds, 1)}
            log.info("request", **about, **self._job)

    @property
    def _job(self) -> dict[str, str]:
        """The job that the address names; handlers bind others."""
        job_id = self.scope.get("path_params", {}).get("job_id")
        return {} if job_id is None else {"job_id": job_id}

    def _end_span(self, method: str) -> None:
        about: Attributes = {
            "http.request.method": method,
            "http.route": self.route,
            "http.response.status_code": self.status,
        }
        failed = self.status == 0 or self.status >= 500
        error = f"answered {self.status}" if failed else None
        self.span.note(about, name=f"{method} {self.route}", error=error)
        self.span.end()


class RequestContext:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope)
        request_id = _matching(REQUEST_ID, given.get("x-request-id")) or secrets.token_hex(12)
        trace_parent = _matching(TRACE_PARENT, given.get("traceparent"))
        exchange = Exchange(scope, _begin(scope, trace_parent))
        trace_parent = scope.setdefault("state", {})["trace_parent"] = exchange.span.traceparent
        about = {"request_id": request_id}
        if (trace := tracing.trace_id(trace_parent)) is not None:
            about["trace_id"] = trace

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                if trace_parent is not None:
                    headers["traceparent"] = trace_parent
            await send(message)

        with bound_contextvars(**about):
            await self._answer(exchange, receive, send_with_headers)
        return None

    async def _answer(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        try:
            await self._app(exchange.scope, receive, send)
        except Exception:
            log.exception("request failed", route=exchange.route)
            if exchange.status:
                raise  # half an answer is out: only a broken connection tells
            detail = "the service failed; its log has the reason under this request_id"
            await problem(AnsibleApiError(detail))(exchange.scope, receive, send)
        finally:
            exchange.record()


def _begin(scope: Scope, parent: str | None) -> Span:
    """Probes come every few seconds: nobody wants to see them."""
    if scope["path"] in QUIET:
        return Span(parent)
    return tracing.begin("request", parent=parent, kind=Kind.SERVER)


def _matching(pattern: re.Pattern[str], text: str | None) -> str | None:
    return text if text is not None and pattern.fullmatch(text) else None
