"""A network with one allowed address, where a connection to any other ends in a sink that counts it.

For a process in a network and mount namespace of its own. There the loopback device takes every address that there is
(AnyIP), so that the sink sees whoever calls a metadata service, a private network or the rest of the internet.
"""

import selectors
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers.dns import dns_server
from tests.servers.galaxy import GalaxyServer, galaxy_server
from tests.servers.git_servers import HttpsGitServer, SshGitServer, https_git_server, ssh_git_server
from tests.servers.moto import Moto, moto
from tests.servers.openbao import OpenBao, openbao
from tests.servers.webhook_sink import Answer, Received, WebhookSink, webhook_sink

ALLOWED = "10.203.250.1"
PORTS = {"web": 8080, "git": 8443, "ssh": 2222, "scp": 22, "galaxy": 8081, "vault": 8200, "moto": 5000}
COMMON_PORTS = (80, 443)
ZONE = "names.test"
ADDRESSES = {
    "outside": [[ALLOWED]],
    "rebind": [[ALLOWED], ["127.0.0.1"]],
    "flip": [[ALLOWED], [ALLOWED], ["127.0.0.1"], ["127.0.0.1"], [ALLOWED], ["169.254.169.254"]],
    "both": [[ALLOWED, "127.0.0.1"], ["127.0.0.1", ALLOWED]],
    "two-families": [[ALLOWED, "::1"]],
    "inside": [["127.0.0.1"]],
    "six": [["::1"]],
    "mapped": [["::ffff:127.0.0.1"]],
    "metadata": [["169.254.169.254"]],
    "anything": [["0.0.0.0"]],
}
SETUP = (
    "ip link set lo up",
    f"ip address add {ALLOWED}/32 dev lo",
    "ip route add local 0.0.0.0/0 dev lo",
    "ip -6 route add local ::/0 dev lo",
)
FILES = {
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:10 attempts:2\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",  # no resolver reached by a unix socket
}


def name(host: str) -> str:
    """The whole name of one of ADDRESSES."""
    return f"{host}.{ZONE}"


def enter(directory: Path) -> None:
    """Make the namespaces that this process was started in such a network."""
    for command in SETUP:
        subprocess.run(command.split(), check=True)
    for path, text in FILES.items():
        ours = directory / Path(path).name
        ours.write_text(text)
        subprocess.run(["mount", "--bind", str(ours), str(Path(path).resolve())], check=True)


def listener(address: str, port: int) -> socket.socket:
    """Takes connections to an address; one for a single address goes before one for all."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((address, port))
    made.listen(512)
    return made


@dataclass
class Sink:
    """Counts who connects where nobody may."""

    listeners: list[socket.socket]
    reached: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> list[str]:
        """Where there were connections since the last time; every one that was made before is in it."""
        self.drain()
        with self.lock:
            taken, self.reached = self.reached, []
        return taken

    def drain(self) -> None:
        for one in self.listeners:
            with self.lock:
                while True:
                    try:
                        connection, _ = one.accept()
                    except BlockingIOError:
                        break
                    with connection:
                        address, port = connection.getsockname()[:2]
                        self.reached.append(f"{address} {port}")

    def serve(self, stop: socket.socket) -> None:
        with selectors.DefaultSelector() as waiting:
            for one in (stop, *self.listeners):
                waiting.register(one, selectors.EVENT_READ)
            while all(key.fileobj is not stop for key, _ in waiting.select()):
                self.drain()


@contextmanager
def sink() -> Iterator[Sink]:
    """Listens on the ports of all servers."""
    with ExitStack() as stack:
        ports = sorted({*PORTS.values(), *COMMON_PORTS})
        made = [stack.enter_context(listener(address, port)) for address in ("0.0.0.0", "::") for port in ports]
        for one in made:
            one.setblocking(False)
        ours, theirs = map(stack.enter_context, socket.socketpair())
        found = Sink(made)
        thread = threading.Thread(target=found.serve, args=(theirs,))
        thread.start()
        try:
            yield found
        finally:
            ours.send(b"x")
            thread.join()


@dataclass
class Front:
    """A server's place at the allowed address: passes connections on to it, and counts them."""

    port: int
    inner: int
    connections: int = 0

    def serve(self, outer: socket.socket) -> None:
        while True:
            try:
                client, _ = outer.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.inner))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while piece := one.recv(65536):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@contextmanager
def front(port: int, inner: int) -> Iterator[Front]:
    with listener(ALLOWED, port) as outer:
        made = Front(port, inner)
        thread = threading.Thread(target=made.serve, args=(outer,))
        thread.start()
        try:
            yield made
        finally:
            outer.shutdown(socket.SHUT_RDWR)
            thread.join()


class Web(WebhookSink):
    """Says what it is told to, if anything, else what lies at the path."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__()
        self.files = files
        self.told: Callable[[str], Answer | None] = lambda _path: None

    def take(self, received: Received) -> Answer:
        """See the base class."""
        self.requests.append(received)
        return self.told(received.path) or Answer(200, body=self.files.get(received.path, self.files["/"]))


@dataclass(frozen=True)
class World:
    """All servers, each reached at the allowed address and its port of PORTS, and the sink around them."""

    directory: Path
    sink: Sink
    web: Web
    git: HttpsGitServer
    ssh: SshGitServer
    galaxy: GalaxyServer
    vault: OpenBao
    moto: Moto
    fronts: dict[str, Front]

    @property
    def repositories(self) -> Path:
        return self.git.root

    def reached(self, server: str) -> int:
        return self.fronts[server].connections

    @classmethod
    @contextmanager
    def made(cls, directory: Path, token: str, files: dict[str, bytes]) -> Iterator[Self]:
        """Everything started, once `enter` was called."""
        for part in ("git", "ssh", "vault", "moto", "served"):
            (directory / part).mkdir()
        with ExitStack() as stack:
            start = stack.enter_context
            start(dns_server(("127.0.0.1", 53), {name(host): sets for host, sets in ADDRESSES.items()}))
            web, galaxy = Web(files), start(galaxy_server(token))
            start(webhook_sink(web))
            git = start(https_git_server(directory / "git", directory / "served", f"*.{ZONE}", public=True))
            ssh, vault = start(ssh_git_server(directory / "ssh")), start(openbao(directory / "vault"))
            cloud = start(moto(directory / "moto"))
            inner = {"web": web.port, "git": git.port, "ssh": ssh.port, "scp": ssh.port, "galaxy": galaxy.port}
            inner |= {"vault": int(vault.url.rpartition(":")[2]), "moto": cloud.port}
            fronts = {server: start(front(PORTS[server], port)) for server, port in inner.items()}
            yield cls(directory, start(sink()), web, git, ssh, galaxy, vault, cloud, fronts)
