"""A server process: started with a log file, waited for, paused, killed, restarted, never left behind."""

import random
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.requirements import require
from tests.waiting import wait_for

# Below the range from which the kernel takes ports of outgoing connections (32768 and up): those come and go.
PORTS = range(20000, 22000)


def free_port(*, offsets: Sequence[int] = (0,)) -> int:
    """A loopback port that nothing listens on, also not at these offsets from it; never the same one twice."""
    for port in random.sample(PORTS, len(PORTS)):
        if all(_is_free(port + offset) for offset in offsets) and _is_mine(port):
            return port
    raise RuntimeError("no free port")


def _is_mine(port: int) -> bool:
    """Take a port for the life of this process: others may choose theirs before anything listens on this one."""
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0ansible-api-tests-{port}")
        except OSError:
            return False
        claim.detach()
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(address: str | tuple[str, int], greeting: bytes, *, say: bytes = b"") -> bool:
    """Whether what listens there (a unix socket's path, or host and port) greets so, perhaps after it was spoken to.

    Clients of Redis and MariaDB leave a socket open when they are refused, and warnings are errors here.
    """
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address)
            probe.sendall(say)
            return greeting in probe.recv(128)
        except OSError:
            return False


@dataclass
class ServerProcess:
    """One server; `ready` says whether it answers. A context manager that starts and stops it."""

    argv: Sequence[str]
    log: Path
    ready: Callable[[], bool]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    start_limit: float = 30
    stop_signal: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """The process id; RuntimeError when it was never started."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and wait until it is ready; nothing happens when it runs already."""
        if self.running:
            return self
        # The kernel kills the server when its pytest dies, however that comes about.
        argv = [require("setpriv"), "--pdeathsig", "KILL", "--", *self.argv]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd=self.cwd
            )
        wait_for(self._ready_or_dead, timeout=self.start_limit, message=f"{self.argv[0]} did not start")
        return self

    def _ready_or_dead(self) -> bool:
        if not self.running:
            log = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.argv[0]} ended at its start:\n{log}")
        return self.ready()

    def stop(self, grace: float = 15) -> None:
        """SIGTERM (or what it wants), then SIGKILL after the grace; a paused process is woken first."""
        if self._process is None or not self.running:
            return
        self._process.send_signal(self.stop_signal)
        self.resume()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would do it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: the server keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it and start it again with the same data and address."""
        self.stop()
        self.start()

    def revive(self) -> None:
        """Make it answer again, whatever the last test did to it."""
        self.resume()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
