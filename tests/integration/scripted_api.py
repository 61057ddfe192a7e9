"""A small HTTP server that answers as told and records what it was asked."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """One answer; without `length` the connection is closed to end it, as a stream is."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(document: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json", **headers})


def stream_answer(*frames: str) -> Answer:
    """A stream of server-sent events; each frame without its blank line."""
    return Answer(
        body="".join(f"{frame}\n\n" for frame in frames).encode(), headers={"Content-Type": "text/event-stream"}
    )


@dataclass
class ScriptedApi:
    """Answers by `METHOD path` (no query): each of a list once, the last one for ever."""

    answers: dict[str, deque[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, what: str, *answers: Answer) -> None:
        """Answer this call so, in this order."""
        self.answers[what] = deque(answers)

    def calls(self, what: str) -> list[Asked]:
        """What came in for a call."""
        return [one for one in self.asked if f"{one.method} {one.path.partition('?')[0]}" == what]

    def take(self, asked: Asked) -> Answer:
        """Record a request and find its answer."""
        self.asked.append(asked)
        waiting = self.answers.get(f"{asked.method} {asked.path.partition('?')[0]}")
        if not waiting:
            return json_answer({"title": "Not found", "status": 404, "code": "not_found"}, 404)
        return waiting.popleft() if len(waiting) > 1 else waiting[0]


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """A server on a free port of 127.0.0.1."""
    api = ScriptedApi()

    class Handler(_Handler):
        script = api

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    script: ScriptedApi

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.script.take(Asked(self.command, self.path, dict(self.headers.items()), body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = _serve  # noqa: N815 - the names of the base class

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""
