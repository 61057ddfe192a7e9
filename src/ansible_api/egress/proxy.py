"""A forward proxy on loopback through which other programs' requests meet the egress policy.

It takes `CONNECT host:port` and absolute-form `http://` requests, one per connection. A name is resolved here, once;
every address is checked, and the checked one is connected to, so that a name that changes its address gains nothing.
"""

import hmac
import secrets
import select
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from ansible_api.egress.connect import Deadline, Resolver, checked_connection, system_resolver
from ansible_api.egress.errors import EgressDenied, EgressFailed
from ansible_api.egress.policy import Policy, check_url

DENIED = "Denied by the egress policy"  # begins the reason phrase of the 403 that a denied destination gets
USER = "job"
HEAD_LIMIT = 32 * 1024
HEAD_TIMEOUT = 15.0  # seconds for the whole head of a request
CONNECT_TIMEOUT = 20.0
IDLE_TIMEOUT = 120.0
MOST_CONNECTIONS = 64
PIECE = 64 * 1024
PAUSE = 0.05
LAST_WAIT = 1.0  # seconds for all connections to end; one that is still being made ends by itself
# Between two neighbours only (RFC 9110, 7.6.1); Host is written from the URL.
HOP_BY_HOP = {b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization", b"host", b"te", b"upgrade"}


@contextmanager
def guarded_proxy(
    policy: Policy,
    *,
    timeout: float = 600.0,
    resolver: Resolver = system_resolver,
    refused: Callable[[int, str], None] = lambda status, reason: None,
) -> Iterator[str]:
    """Serve until left; gives the proxy's URL with the user and password that it asks for.

    `timeout` seconds is the longest life of one connection. A denied destination is answered with 403 and a reason
    phrase that begins with DENIED, an unreachable one with 504: clients such as
    ansible-galaxy try a 502 again for a minute, and whoever enters this has better ways to try again.
    `refused` is told both with the reason, which many programs keep to themselves; it is called from other threads.
    """
    password = secrets.token_urlsafe(24)
    with socket.create_server(("127.0.0.1", 0), backlog=MOST_CONNECTIONS) as listener:
        proxy = _Proxy(listener, policy, password, timeout, resolver, refused)
        accepting = threading.Thread(target=proxy.accept, name="egress-proxy")
        accepting.start()
        try:
            yield f"http://{USER}:{password}@127.0.0.1:{listener.getsockname()[1]}"
        finally:
            proxy.close()
            accepting.join()


class _Refused(Exception):
    """The request gets this status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


class _Request(NamedTuple):
    """The head of a request, and what was read after it."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    rest: bytes


@dataclass(slots=True)
class _Proxy:
    listener: socket.socket
    policy: Policy
    password: str
    timeout: float
    resolver: Resolver
    refused: Callable[[int, str], None]
    closing: bool = False
    open: set[socket.socket] = field(default_factory=set)
    threads: set[threading.Thread] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self) -> None:
        """Take connections until the listener is shut down; each is served by a thread of its own."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                if self.closing:
                    return
                time.sleep(PAUSE)  # out of file descriptors
                continue
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True, name="egress-proxy-connection")
            with self.lock:
                taken = not self.closing and len(self.threads) < MOST_CONNECTIONS
                if taken:
                    self.threads.add(thread)
                    thread.start()  # within the lock: who closes joins only what has been started
            if not taken:
                client.close()

    def close(self) -> None:
        """End every connection and wait for their threads, but not for names and servers that do not answer."""
        with self.lock:
            self.closing = True
            with suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            for connection in self.open:
                _shut(connection)
            threads = list(self.threads)
        last = time.monotonic() + LAST_WAIT
        for thread in threads:
            thread.join(max(last - time.monotonic(), 0))

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, self._kept(client):
                self._answer(client)
        except (OSError, EgressFailed):
            pass  # one side has gone, or was too slow
        finally:
            with self.lock:
                self.threads.discard(threading.current_thread())

    @contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        """Have the connection shut when the proxy closes."""
        with self.lock:
            self.open.add(connection)
            if self.closing:
                _shut(connection)
        try:
            yield
        finally:
            with self.lock:
                self.open.discard(connection)

    def _answer(self, client: socket.socket) -> None:
        deadline = Deadline(self.timeout)
        try:
            request = _read_request(client)
            self._check_password(request)
            if request.method == b"CONNECT":
                self._tunnel(client, request, deadline)
            else:
                self._forward(client, request, deadline)
        except _Refused as error:
            _refuse(client, error.status, error.reason)
        except EgressDenied as error:
            self.refused(403, error.detail)
            _refuse(client, 403, f"{DENIED}: {error.detail}")
        except EgressFailed as error:
            self.refused(504, error.detail)
            _refuse(client, 504, error.detail)

    def _check_password(self, request: _Request) -> None:
        wanted = b"Basic " + b64encode(f"{USER}:{self.password}".encode())
        given = next((value for name, value in request.headers if name.lower() == b"proxy-authorization"), b"")
        if not hmac.compare_digest(wanted, given):
            raise _Refused(407, "Proxy Authentication Required")

    def _tunnel(self, client: socket.socket, request: _Request, deadline: Deadline) -> None:
        host, _, port = request.target.decode("ascii", "replace").rpartition(":")
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            raise _Refused(400, "CONNECT wants host:port")
        with self._connection(host.removeprefix("[").removesuffix("]"), int(port)) as server, self._kept(server):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            server.sendall(request.rest)
            with suppress(EgressFailed):  # too late to say so
                _relay(client, server, deadline)

    def _forward(self, client: socket.socket, request: _Request, deadline: Deadline) -> None:
        url = check_url(request.target.decode("ascii", "replace"), self.policy)
        if url.scheme != "http":
            raise _Refused(400, "https goes through CONNECT")
        head = [b"%s %s HTTP/1.1" % (request.method, url.raw_path), b"Host: " + url.netloc, b"Connection: close"]
        head += [name + b": " + value for name, value in request.headers if name.lower() not in HOP_BY_HOP]
        with self._connection(url.raw_host.decode("ascii"), url.port or 80) as server, self._kept(server):
            server.sendall(b"\r\n".join(head) + b"\r\n\r\n" + request.rest)
            with suppress(EgressFailed):
                _relay(client, server, deadline, _AnswerHead())

    def _connection(self, host: str, port: int) -> socket.socket:
        connection = checked_connection(host, port, self.policy, Deadline(CONNECT_TIMEOUT), self.resolver)
        connection.settimeout(IDLE_TIMEOUT)
        return connection


class _AnswerHead:
    """Tells the client that the connection ends with this answer: its next request may be for another host."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._done = False

    def __call__(self, piece: bytes) -> bytes:
        """What the client gets for what the server sent."""
        if self._done:
            return piece
        self._head += piece
        sent = b""
        while not self._done and b"\r\n\r\n" in self._head:
            head, _, rest = bytes(self._head).partition(b"\r\n\r\n")
            self._head = bytearray(rest)
            lines = head.split(b"\r\n")
            self._done = not lines[0].partition(b" ")[2].startswith(b"1")  # 100 Continue is not the answer yet
            kept = [line for line in lines[1:] if line.partition(b":")[0].strip().lower() not in HOP_BY_HOP]
            closing = [b"Connection: close"] if self._done else []
            sent += b"\r\n".join([lines[0], *closing, *kept]) + b"\r\n\r\n"
        if len(self._head) > HEAD_LIMIT and not self._done:
            raise EgressFailed("the head of the answer is too long")
        if self._done:
            sent, self._head = sent + bytes(self._head), bytearray()
        return sent


def _read_request(client: socket.socket) -> _Request:
    deadline, received = Deadline(HEAD_TIMEOUT), b""
    while b"\r\n\r\n" not in received:
        if len(received) > HEAD_LIMIT:
            raise _Refused(431, "Request Header Fields Too Large")
        client.settimeout(deadline.left())
        if not (piece := client.recv(PIECE)):
            raise EgressFailed("the client has gone")
        received += piece
    client.settimeout(IDLE_TIMEOUT)
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or any(line[:1] in b" \t" for line in lines):
        raise _Refused(400, "Bad Request")
    fields = [line.partition(b":") for line in lines]
    return _Request(parts[0], parts[1], [(name.strip(), value.strip()) for name, _, value in fields], rest)


def _refuse(client: socket.socket, status: int, reason: str) -> None:
    line = " ".join(reason.split()).encode("ascii", "replace")[:400]
    more = b'Proxy-Authenticate: Basic realm="egress"\r\n' if status == 407 else b""
    head = b"HTTP/1.1 %d %s\r\n%sContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n"
    client.sendall(head % (status, line, more, len(line) + 1, line))
    client.shutdown(socket.SHUT_WR)
    with suppress(OSError):  # what the client still sends would make the kernel drop the answer
        client.settimeout(1)
        client.recv(PIECE)


def _relay(
    client: socket.socket, server: socket.socket, deadline: Deadline, rewrite: _AnswerHead | None = None
) -> None:
    """Pass bytes both ways until the server has ended, one side is idle for too long, or the time is over."""
    waiting: dict[socket.socket, bytes] = {client: b"", server: b""}  # what each is still to get
    other = {client: server, server: client}
    reading = {client, server}
    for connection in waiting:
        connection.setblocking(False)
    while server in reading or waiting[client]:
        poll = select.poll()
        by_number = {connection.fileno(): connection for connection in waiting}
        for number, connection in by_number.items():
            wanted = select.POLLIN if connection in reading and not waiting[other[connection]] else 0
            wanted |= select.POLLOUT if waiting[connection] else 0
            if wanted:
                poll.register(number, wanted)
        ready = poll.poll(min(IDLE_TIMEOUT, deadline.left()) * 1000)
        if not ready:
            return
        for number, event in ready:
            connection = by_number[number]
            if event & select.POLLOUT and waiting[connection]:
                waiting[connection] = waiting[connection][connection.send(waiting[connection]) :]
            elif event & ~select.POLLOUT:
                piece = connection.recv(PIECE)
                waiting[other[connection]] += rewrite(piece) if rewrite and connection is server else piece
                if not piece:
                    reading.discard(connection)
                    with suppress(OSError):
                        other[connection].shutdown(socket.SHUT_WR)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
