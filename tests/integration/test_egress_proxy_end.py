"""The guarded proxy closes at once, whatever its connections wait for: a canceled job does not wait with them."""

import socket
import threading
import time
from base64 import b64encode
from urllib.parse import urlsplit

from ansible_api.egress import Policy, guarded_proxy
from tests.waiting import wait_for


def test_a_name_that_does_not_resolve_holds_nobody_up() -> None:
    asked, answered = threading.Event(), threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        asked.set()
        answered.wait(30)
        return []

    with guarded_proxy(Policy(), resolver=resolve) as url:
        parts = urlsplit(url)
        login = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as client:
            client.sendall(f"CONNECT slow.example:443 HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n".encode())
            assert asked.wait(10)
            began = time.monotonic()
    assert time.monotonic() - began < 10
    answered.set()
    wait_for(lambda: not [it for it in threading.enumerate() if it.name.startswith(("egress-proxy", "resolve"))])
