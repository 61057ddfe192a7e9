"""Git repositories and the private servers that serve them: over ssh by a real sshd, over https with a token."""

import base64
import datetime
import gzip
import ipaddress
import os
import pwd
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers.processes import ServerProcess, answers, free_port
from tests.servers.requirements import require

USERNAME = "robot"
TOKEN = "tests-token"
GIT_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "tests" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
MaxStartups 100
{more}
"""


@dataclass(frozen=True)
class GitRepository:
    """A repository with a work tree, driven by the real git."""

    path: Path

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        argv = [require("git"), "-C", str(self.path), *arguments]
        environment = {"PATH": os.environ["PATH"], **GIT_ENVIRONMENT}
        return (
            subprocess.run(argv, env=environment, check=True, capture_output=True, input=stdin).stdout.decode().strip()
        )

    def commit(self, files: Mapping[str, str], message: str = "more") -> str:
        """Write the files, commit all there is, and return the commit."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def git_repository(path: Path) -> GitRepository:
    """A new repository with the branch `main` and nothing in it."""
    path.mkdir(parents=True)
    repository = GitRepository(path)
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository


@dataclass(frozen=True)
class SshGitServer:
    """An sshd that lets `private_key` in, as the user who runs the tests."""

    port: int
    user: str
    private_key: str
    stranger_key: str
    known_hosts: str
    process: ServerProcess

    def url(self, path: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"


@contextmanager
def ssh_git_server(directory: Path, more: str = "") -> Iterator[SshGitServer]:
    """A server with keys of its own; `more` is added to its configuration."""
    sshd, port = require("sshd"), free_port()
    for name in ("host_key", "key", "stranger_key"):
        new_ssh_key(directory / name)
    (directory / "authorized_keys").write_text((directory / "key.pub").read_text())
    (directory / "config").write_text(SSHD_CONFIG.format(port=port, directory=directory, more=more))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd wants to jail its unprivileged half
    argv = [sshd, "-D", "-e", "-f", str(directory / "config")]
    with ServerProcess(argv, directory / "log", lambda: answers(("127.0.0.1", port), b"SSH-")) as process:
        yield SshGitServer(
            port=port,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            private_key=(directory / "key").read_text(),
            stranger_key=(directory / "stranger_key").read_text(),
            known_hosts=known_hosts_line(port, directory / "host_key.pub"),
            process=process,
        )


def new_ssh_key(path: Path) -> None:
    """An ed25519 key pair at `path` and `path`.pub."""
    argv = [require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def known_hosts_line(port: int, public_key: Path) -> str:
    """What a known_hosts file says of a server on loopback."""
    kind, key = public_key.read_text().split()[:2]
    return f"[127.0.0.1]:{port} {kind} {key}\n"


@dataclass(frozen=True)
class GitRequest:
    """One request as it came in."""

    method: str
    path: str
    authorization: str | None
    body: bytes
    host: str = ""

    @property
    def fetches(self) -> bool:
        """Whether it asks for objects."""
        return self.method == "POST" and b"want " in self.body


@dataclass
class HttpsGitServer:
    """Repositories below `root` for USERNAME with the token, or for everybody; behaves as its fields say."""

    root: Path
    certificate: Path
    token: str = TOKEN
    public: bool = False
    port: int = 0
    requests: list[GitRequest] = field(default_factory=list)
    answer: Callable[[GitRequest], tuple[int, dict[str, str]] | None] = lambda _request: None
    tamper: Callable[[GitRequest, bytes], bytes] = lambda _request, data: data
    stream: Callable[[GitRequest], Iterable[bytes] | None] = lambda _request: None
    newest_protocol: bool = True
    hold: bool = False
    holding: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, path: Path) -> str:
        return f"https://127.0.0.1:{self.port}/{path.relative_to(self.root)}/.git"

    @property
    def fetches(self) -> int:
        """How often objects were asked for."""
        return sum(request.fetches for request in self.requests)

    def hold_next_fetch(self) -> None:
        """Send half of what the next fetch gets, set `holding`, and go on after `released` is set."""
        self.hold = True
        self.holding.clear()
        self.released.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: without it each answer would wait 40 ms
    git: HttpsGitServer

    def log_message(self, *arguments: Any) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        request = GitRequest(
            self.command, self.path, self.headers.get("Authorization"), self._body(), self.headers["Host"]
        )
        self.git.requests.append(request)
        if answer := self.git.answer(request):
            self._send(*answer, b"")
        elif (
            not self.git.public
            and request.authorization != f"Basic {base64.b64encode(f'{USERNAME}:{self.git.token}'.encode()).decode()}"
        ):
            self._send(401, {"WWW-Authenticate": "Basic realm=git"}, b"")
        elif pieces := self.git.stream(request):
            self._stream(pieces)
        else:
            status, headers, data = self._backend(request)
            self._send(status, headers, self.git.tamper(request, data), hold=request.fetches)

    def _stream(self, pieces: Iterable[bytes]) -> None:
        """Send as an answer to a fetch what may have no end."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-git-upload-pack-result")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _chunk(self) -> bytes:
        chunk = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return chunk

    def _backend(self, request: GitRequest) -> tuple[int, dict[str, str], bytes]:
        path, _, query = request.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            **GIT_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", "") if self.git.newest_protocol else "",
        }
        argv = [require("git"), "http-backend"]
        output = subprocess.run(argv, input=request.body, env=environment, capture_output=True, check=False).stdout
        head, _, data = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(headers.pop("Status", "200").split()[0]), headers, data

    def _send(self, status: int, headers: Mapping[str, str], data: bytes, *, hold: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if hold and self.git.hold:
            self.git.hold = False
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            data = data[half:]
            self.git.holding.set()
            self.git.released.wait(30)
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what some tests are about."""


@contextmanager
def https_git_server(
    directory: Path, root: Path, name: str | None = None, *, public: bool = False
) -> Iterator[HttpsGitServer]:
    """A server with a self-signed certificate of 127.0.0.1 or the name, which clients trust through SSL_CERT_FILE."""
    require("git")
    certificate, key = new_certificate(directory, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    git = HttpsGitServer(root, certificate, public=public)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"git": git}))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    git.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield git
    finally:
        git.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def new_certificate(directory: Path, host: str | None = None) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, or for a host name, and its key."""
    subject = x509.DNSName(host) if host else x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # A name of its own: clients that trust several look an issuer up by its name.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tests {serial:x}")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "certificate.key"
    plain = serialization.NoEncryption()
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[0].write_bytes(certificate.public_bytes(encodings[0]))
    paths[1].write_bytes(key.private_bytes(*encodings, plain))
    return paths
