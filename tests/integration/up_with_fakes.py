"""`ansible-api up` whose parts are the small stand-ins below: `python up_with_fakes.py up …`.

As a part (`python up_with_fakes.py part db upgrade`) it records its call and environment in the data directory.
"""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import ansible_api.cli.up
from ansible_api.cli import app


class Api(BaseHTTPRequestHandler):
    """Answers 200 to everything, with its pid."""

    def do_GET(self) -> None:
        """/ready and all else."""
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


def part(arguments: list[str]) -> None:
    """Play a part of the service."""
    data = Path(os.environ["ANSIBLE_API_STATE_DIR"]).parent
    with (data / "calls").open("a") as calls:
        calls.write(json.dumps({"argv": arguments, "pid": os.getpid(), "env": dict(os.environ)}) + "\n")
    match arguments:
        case ["keys", "create", *_]:
            sys.stdout.write("aak_first\n")
        case ["webhook-secret", "create", *_]:
            sys.stdout.write("whsec_Zmlyc3Q=\n")
        case ["api", "--fd", number]:
            server = HTTPServer(("127.0.0.1", 0), Api, bind_and_activate=False)
            server.socket.close()
            server.socket = socket.socket(fileno=int(number))
            server.serve_forever()
        case ["worker", *options]:
            Path(options[options.index("--ready-file") + 1]).touch()
            signal.pause()


if __name__ == "__main__":
    if sys.argv[1] == "part":
        part(sys.argv[2:])
    else:
        ansible_api.cli.up.COMMAND = (sys.executable, __file__, "part")
        app(sys.argv[1:])
