"""The worker's own HTTP server, for Prometheus and for probes: `/metrics` and `/health`."""

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ansible_api.errors import StartupError
from ansible_api.settings import Settings
from ansible_api.tasks import metrics
from ansible_api.tasks.liveness import liveness

PATIENCE = 10.0  # seconds for a client to say what it wants


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer from what is known here: no part of the service is asked."""
        match self.path:
            case "/metrics":
                self._answer(HTTPStatus.OK, "text/plain; version=1.0.0; charset=utf-8", metrics.as_text())
            case "/health":
                self._health()
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics or /health\n")

    def _health(self) -> None:
        trouble = liveness.trouble
        body = {"status": "ok"} if trouble is None else {"status": "not consuming", "reason": trouble}
        status = HTTPStatus.OK if trouble is None else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(body).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Probes come every few seconds: nobody wants to read of them."""


class _Process:
    """What this process listens on."""

    server: ThreadingHTTPServer | None = None


def serve(settings: Settings) -> None:
    """Begin to serve, if a port is set; StartupError when it cannot be had."""
    if settings.worker_port is None:
        return
    address = (settings.worker_address, settings.worker_port)
    try:
        _Process.server = ThreadingHTTPServer(address, _Handler)
    except OSError as error:
        place = "ANSIBLE_API_WORKER_ADDRESS and ANSIBLE_API_WORKER_PORT"
        raise StartupError(f"{place}: cannot listen on {address[0]} port {address[1]}: {error.strerror}") from None
    threading.Thread(target=_Process.server.serve_forever, name="probe", daemon=True).start()


def leave() -> None:
    """In a child: the port is the parent's alone, and free again when that has gone."""
    if _Process.server is not None:
        _Process.server.socket.close()
