"""Git over https by the standard library: one origin, no proxy, no redirect elsewhere, certificates verified."""

import http.client
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from dulwich.client import AbstractHttpGitClient
from dulwich.errors import GitProtocolError

from ansible_api.execution.git_connect import connect
from ansible_api.execution.git_request import Refused, Request
from ansible_api.execution.git_server import ServerRemote, meter, no_such_commit, refuses_commit, unreachable

ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
MAX_REDIRECTS = 3
BEGINNING = 256  # bytes of an answer that are kept, as that is where a server says why it refuses
REDIRECTS = (301, 302, 303, 307, 308)
IDLE = 2.0  # seconds after which a server may have closed a connection that nobody used


def http_remote(request: Request) -> ServerRemote:
    """The repository at an http or https address."""
    host = urlsplit(request.repo).hostname or ""
    client = HttpClient(request, host)

    def explain(error: Exception) -> Refused:
        if isinstance(error, ssl.SSLCertVerificationError):
            detail = f"The certificate of {host} is not trusted: add its authority to the worker's CA bundle."
            return Refused("source_host_key", detail)
        if isinstance(error, OSError):
            return unreachable(host)
        if refuses_commit(client.last_said()):
            return no_such_commit()
        return Refused("source_invalid", f"{host} does not answer as a git server does: check repo and branch.")

    return ServerRemote(client, b"", explain)


def trusting() -> ssl.SSLContext:
    """Verifies by the authorities that SSL_CERT_FILE and SSL_CERT_DIR name, or the system's.

    To load those of a system takes longer than the request: a fork has them from its server, unless they changed.
    """
    paths = ssl.get_default_verify_paths()
    changed = Path(paths.cafile).stat().st_mtime_ns if paths.cafile else 0
    return _loaded(paths.cafile, paths.capath, changed)


@cache
def _loaded(_file: str | None, _directory: str | None, _changed: int) -> ssl.SSLContext:
    return ssl.create_default_context()


class HttpAnswer:
    """A response in the shape that dulwich reads."""

    def __init__(self, response: http.client.HTTPResponse, url: str, redirected: bool, host: str) -> None:
        self._response, self._url, self._host = response, url, host
        self.status = response.status
        self.content_type = response.headers.get("Content-Type")
        self.redirect_location = url if redirected else ""
        self.count: Callable[[int], None] = lambda _amount: None
        self.beginning = b""

    def read(self, amount: int | None = None) -> bytes:
        try:
            data = self._response.read(amount)
        except http.client.HTTPException:
            raise unreachable(self._host) from None
        self.count(len(data))
        if len(self.beginning) < BEGINNING:
            self.beginning += data[:BEGINNING]
        return data

    def geturl(self) -> str:
        return self._url

    def close(self) -> None:
        """Nothing: what is left to read decides whether the connection can carry another request."""

    def at_end(self) -> bool:
        return self._response.isclosed() or not self._response.read(1)


class HttpClient(AbstractHttpGitClient):
    """Smart HTTP that talks to one origin only, so that neither token nor request is carried to another host."""

    def __init__(self, request: Request, host: str) -> None:
        super().__init__(request.repo)
        where = urlsplit(request.repo)
        self._origin, self._host, self._limits = where[:2], host, request
        self._count = meter(request.size)
        self._last: HttpAnswer | None = None
        self._tls = trusting() if where.scheme == "https" else None
        self._connection = http.client.HTTPConnection(host, where.port or (443 if self._tls else 80))
        self._connection.default_port = 443 if self._tls else 80  # decides whether Host names the port
        self._connection.auto_open = 0  # it would look the name up again
        self._used = 0.0
        self._login: dict[str, str] = {}
        if request.token is not None:
            login = b64encode(f"{request.username or ''}:{request.token}".encode()).decode()
            self._login = {"Authorization": f"Basic {login}"}

    def last_said(self) -> str:
        """How the last answer began."""
        return self._last.beginning.decode(errors="replace") if self._last else ""

    def _get_url(self, path: str | bytes) -> str:
        return self._base_url

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: Any = None,
        raise_for_status: bool = True,
    ) -> Any:
        method, target = "GET" if data is None else "POST", url
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(method, target, {**(headers or {}), **self._login}, data)
            if response.status not in REDIRECTS:
                break
            target = self._redirected(method, target, response)
        self._check(url, response)
        answer = self._last = HttpAnswer(response, target, target != url, self._host)
        answer.count = self._count
        return answer, answer.read

    def _send(self, method: str, url: str, headers: dict[str, str], data: Any) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        if parts[:2] != self._origin:
            detail = f"{self._host} redirects to another host: give the repository's own address."
            raise Refused("source_refused", detail)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            self._ready()
            self._connection.request(method, target, data, {"User-Agent": "git/ansible-api", **headers})
            return self._connection.getresponse()
        except http.client.HTTPException:
            raise unreachable(self._host) from None

    def _ready(self) -> None:
        if (self._last and not self._last.at_end()) or time.monotonic() - self._used > IDLE:
            self._connection.close()
        self._last = None
        self._used = time.monotonic()
        if self._connection.sock is None:
            self._connection.sock = self._connected()

    def _connected(self) -> socket.socket:
        """A connection to a checked address; the certificate is held to the name of the URL."""
        plain = connect(self._limits.addresses, self._connection.port, self._limits.connect_timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready = self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
        except BaseException:
            plain.close()
            raise
        ready.settimeout(self._limits.timeout)
        return ready

    def _redirected(self, method: str, url: str, response: http.client.HTTPResponse) -> str:
        location = response.headers.get("Location")
        self._connection.close()
        if method != "GET" or not location:
            raise GitProtocolError("redirect where git knows none")
        return urljoin(url, location)

    def _check(self, url: str, response: http.client.HTTPResponse) -> None:
        status, host = response.status, self._host
        if status in (401, 403):
            detail = f"{host} refused access to the repository: check git_credential and its rights."
            raise Refused("source_refused", detail)
        if status == 404:
            detail = f"{host} has no such repository, or not for this credential: check repo and git_credential."
            raise Refused("source_refused", detail)
        if status == 429 or status >= 500:
            raise unreachable(host)
        # Without the smart protocol dulwich would go on with the older one, whose answers have no bounds.
        advertised = response.headers.get("Content-Type", "").split(";")[0] == ADVERTISEMENT
        if status != 200 or ("/info/refs?" in url and not advertised):
            raise Refused("source_invalid", f"There is no git repository at that address of {host}: correct repo.")
