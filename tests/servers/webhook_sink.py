"""An HTTP server on loopback that records what it is sent and answers as told."""

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.waiting import wait_for


@dataclass(frozen=True)
class Answer:
    """What the sink says, in which manner; times are seconds."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0  # before it says anything
    drip: float = 0  # after each byte of the body
    size: int = 0  # a body of so many bytes, sent as long as somebody reads
    raw: bytes = b""  # sent as it stands, instead of all else
    reset: bool = False  # the connection, instead of an answer


@dataclass(frozen=True)
class Received:
    """One request as it came in; header names compare without case."""

    method: str
    path: str
    headers: Message
    body: bytes
    at: float

    @property
    def webhook_id(self) -> str:
        return str(self.headers["webhook-id"])


class WebhookSink:
    """What came in, and what to answer: each of `answers` once, then `default` for ever."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.answers: deque[Answer] = deque()
        self.default = Answer()
        self.closing = threading.Event()
        self.port = 0
        self.sent = 0  # bytes of bodies with a size
        self.under_way: list[str] = []
        self.most_under_way = 0

    @property
    def url(self) -> str:
        """Its address; every path is the same."""
        return f"http://127.0.0.1:{self.port}/hook"

    def answer(self, *answers: Answer | int) -> None:
        """Answer the next requests with these; a number is a status."""
        self.answers.extend(Answer(item) if isinstance(item, int) else item for item in answers)

    def wait_for_requests(self, count: int = 1, timeout: float = 10) -> list[Received]:
        """All requests so far, once there are so many."""
        message = f"{count} request(s) did not arrive"
        return wait_for(lambda: len(self.requests) >= count and list(self.requests), timeout, message=message) or []

    def take(self, received: Received) -> Answer:
        """Record a request and say what to answer."""
        self.requests.append(received)
        try:
            return self.answers.popleft()
        except IndexError:
            return self.default


@contextmanager
def webhook_sink(given: WebhookSink | None = None) -> Iterator[WebhookSink]:
    """A sink on a free port: a new one, or one that answers in its own way."""
    sink = given or WebhookSink()

    class Handler(_Handler):
        target = sink

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            sink.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    target: WebhookSink

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sink = self.target
        answer = sink.take(Received(self.command, self.path, self.headers, body, time.time()))
        sink.under_way.append(self.path)
        sink.most_under_way = max(sink.most_under_way, len(sink.under_way))
        try:
            self._wait(answer.delay)
            self._send(answer)
        except OSError:
            self.close_connection = True  # the sender gave up first, which is what a delay is for
        finally:
            sink.under_way.pop()

    def _wait(self, seconds: float) -> None:
        """Until then, or until the sender has gone."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.target.closing.is_set():
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.05))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError

    def _send(self, answer: Answer) -> None:
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            raise ConnectionResetError
        if answer.raw:
            self.wfile.write(answer.raw)
            raise ConnectionResetError
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.size or len(answer.body)))
        self.end_headers()
        while self.target.sent < answer.size:
            self.target.sent += self.wfile.write(bytes(min(65536, answer.size - self.target.sent)))
        for byte in answer.body if answer.drip else b"":
            self.wfile.write(bytes([byte]))
            self._wait(answer.drip)
        if not answer.drip:
            self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names of the base class

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing on the terminal."""
