"""ssh's ProxyCommand in a sandbox: `python -I tunnel.py <host> <port>` passes stdin and stdout through the proxy.

The proxy's URL is in the environment. Nothing but the standard library is imported: the sandbox may not show the rest
of this package.
"""

import base64
import os
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

VARIABLE = "ANSIBLE_API_PROXY"
PROGRAM = Path(__file__).resolve()
PIECE = 64 * 1024
HEAD_LIMIT = 16 * 1024


def proxy_command() -> str:
    """What ssh is to run; the sandbox must be able to read PROGRAM."""
    return f"{sys.executable} -I {PROGRAM} %h %p"


def main(host: str, port: str) -> int:
    """Serve until either side ends; 1 when the proxy refuses, with its reason on stderr."""
    proxy = urlsplit(os.environ[VARIABLE])
    with socket.create_connection((proxy.hostname or "", proxy.port or 80), 30) as connection:
        login = base64.b64encode(f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()).decode()
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        connection.sendall(f"CONNECT {name} HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < HEAD_LIMIT and (byte := connection.recv(1)):
            head += byte
        status = head.partition(b"\r\n")[0].decode(errors="replace").partition(" ")[2]
        if not status.startswith("200"):
            sys.stderr.write(f"proxy: {status or 'no answer'}\n")
            return 1
        connection.settimeout(None)
        threading.Thread(target=_send, args=(connection,), daemon=True).start()
        while piece := connection.recv(PIECE):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    return 0


def _send(connection: socket.socket) -> None:
    while piece := os.read(0, PIECE):
        connection.sendall(piece)
    connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
