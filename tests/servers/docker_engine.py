"""A Docker engine of its own, in namespaces of its own: neither its network nor its mounts are this machine's.

Processes, bridges, firewall rules, sysctls and mounts end with its first process. Its way out is slirp4netns, which
speaks for it as an ordinary process of this machine does.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import ServerProcess
from tests.servers.requirements import missing, require, require_namespaces
from tests.waiting import wait_for

INIT = Path(__file__).with_name("docker_engine_init.sh")
CLIENT = "/usr/bin/docker"  # Debian's builds by itself; a newer one on PATH may want a plugin for it
PROGRAMS = ("dockerd", CLIENT, "docker-compose", "iptables", "ip", "mmdebstrap", "nsenter", "slirp4netns", "unshare")
CGROUPS = Path("/sys/fs/cgroup")
TUNNEL = Path("/dev/net/tun")
LIMIT = 600  # seconds for one command: building an image takes a minute or two


@dataclass(frozen=True)
class DockerEngine:
    """A running engine."""

    directory: Path
    first_process: int  # as this machine counts

    def docker(self, *arguments: str) -> str:
        """What a command of the client prints; AssertionError with all that it said when it fails."""
        return self._run(CLIENT, *arguments)

    def compose(self, *arguments: str) -> str:
        """As `docker`, for `docker compose`."""
        return self._run(require("docker-compose"), *arguments)

    def inside(self, *argv: str) -> str:
        """What a program of this machine prints when it runs in the engine's network, where published ports are."""
        return self._run(require("nsenter"), f"--net=/proc/{self.first_process}/ns/net", "--", *argv)

    def _run(self, *argv: str) -> str:
        env = {
            "PATH": os.defpath,
            "HOME": str(self.directory),
            "DOCKER_HOST": f"unix://{self.directory / 'd.sock'}",
            "DOCKER_CONFIG": str(self.directory / "config"),
            "DOCKER_BUILDKIT": "1",
        }
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 0, f"{' '.join(argv)}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


def require_engine() -> None:
    """All that an engine needs of this machine."""
    require_namespaces()
    for program in PROGRAMS:
        require(program)
    if not TUNNEL.exists():
        missing(f"there is no {TUNNEL}, the engine's way out")


@contextmanager
def docker_engine(directory: Path) -> Iterator[DockerEngine]:
    """An engine with its data in the directory, without images; its unix socket's path must be short."""
    require_engine()
    directory.mkdir(exist_ok=True)
    cgroup = f"ansible-api-tests-{os.getpid()}"
    try:
        with _namespaces(directory, cgroup) as first, _way_out(directory, first):
            engine = DockerEngine(directory, first)
            wait_for(lambda: _answers(engine), timeout=60, message=f"dockerd did not start, see {directory}")
            yield engine
    finally:
        _remove_cgroups(cgroup)
        shutil.rmtree(directory, ignore_errors=True)  # gigabytes


@contextmanager
def _namespaces(directory: Path, cgroup: str) -> Iterator[int]:
    """The engine's first process, as this machine counts; dockerd waits there for a network."""
    argv = [require("unshare"), "--mount", "--net", "--pid", "--uts", "--ipc"]
    argv += ["--fork", "--kill-child=KILL", "/bin/sh", str(INIT), str(directory), f"/{cgroup}"]
    entered = directory / "entered"
    with ServerProcess(argv, directory / "log", entered.exists, stop_signal=signal.SIGKILL) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        first = int(children)
        yield first
    wait_for(lambda: not running(first), timeout=30, message="the engine's first process does not end")


def running(pid: int) -> bool:
    """Whether there is such a process, dead ones that nobody has buried yet aside."""
    return Path(f"/proc/{pid}/exe").exists()


@contextmanager
def _way_out(directory: Path, first: int) -> Iterator[None]:
    argv = [require("slirp4netns"), "--configure", "--mtu=65520", "--disable-host-loopback", str(first), "tap0"]
    with ServerProcess(argv, directory / "slirp.log", lambda: True):
        yield


def _answers(engine: DockerEngine) -> bool:
    try:
        return bool(engine.docker("version", "--format", "{{.Server.Version}}"))
    except AssertionError:
        return False


def _remove_cgroups(name: str) -> None:
    """Containers that were killed leave theirs behind; they go when their processes have ended."""

    def gone() -> bool:
        found = [path for pattern in (name, f"*/{name}") for path in CGROUPS.glob(pattern)]
        for path in found:
            for directory, _, _ in os.walk(path, topdown=False):
                with suppress(OSError):
                    Path(directory).rmdir()
        return not found

    wait_for(gone, timeout=15, interval=0.2, message=f"control groups {name} stay")
