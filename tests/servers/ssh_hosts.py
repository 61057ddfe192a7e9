"""Managed hosts for plays: real sshd and sudo, each in its own network, mount and PID namespaces."""

import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import ServerProcess, answers
from tests.servers.requirements import require, require_namespaces

INIT = Path(__file__).with_name("ssh_host_init.sh")
USER = "deploy"
SUDO_PASSWORD = "tests-sudo-password"
PROGRAMS = ("ip", "unshare", "nsenter", "sshd", "ssh-keygen", "sudo", "useradd", "chpasswd")
SSHD_CONFIG = """\
HostKey /mnt/keys/host_key
AuthorizedKeysFile /mnt/keys/authorized_keys
PidFile none
PasswordAuthentication yes
UsePAM no
PrintMotd no
MaxStartups 100
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class SshHost:
    """One host; `process.kill()` switches it off, `process.start()` boots it afresh."""

    name: str
    address: str
    known_hosts: str
    process: ServerProcess

    def run(self, *argv: str) -> str:
        """What a command says as root on the host, without SSH: to see what a play has left there."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        inside = [require("nsenter"), "--target", children.strip(), "--all", "--wd=/", "--", *argv]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class SshHosts:
    """The hosts and how to log in: `user` by key, who becomes root by `sudo_password`."""

    hosts: tuple[SshHost, ...]
    user: str
    private_key: str
    sudo_password: str

    @property
    def known_hosts(self) -> str:
        """The lines of all hosts."""
        return "".join(host.known_hosts for host in self.hosts)


@contextmanager
def ssh_hosts(directory: Path, count: int = 2) -> Iterator[SshHosts]:
    """So many hosts, reachable from this machine only; nothing of them is left afterwards."""
    require_namespaces()
    for program in PROGRAMS:
        require(program)
    _keygen(directory / "id")
    with ExitStack() as stack:
        subnet = stack.enter_context(free_subnet())
        hosts = [stack.enter_context(_host(directory, subnet, number)) for number in range(count)]
        yield SshHosts(tuple(hosts), USER, (directory / "id").read_text(), SUDO_PASSWORD)


@contextmanager
def _host(directory: Path, subnet: int, number: int) -> Iterator[SshHost]:
    name = f"host{number + 1}"
    known_key = _write_files(directory / name, directory / "id.pub")
    # A /30 for each: the near end of its veth pair has the first address, the host the second.
    near, address = (f"10.203.{subnet}.{4 * number + offset}" for offset in (1, 2))
    argv = [require("unshare"), "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL"]
    argv += ["/bin/sh", str(INIT), str(directory / name), name, USER]
    argv += [f"/proc/{os.getpid()}/ns/net", f"tests{subnet}-{number}", near, address]
    log = directory / f"{name}.log"
    with ServerProcess(argv, log, lambda: answers((address, 22), b"SSH-"), stop_signal=signal.SIGKILL) as process:
        yield SshHost(name, address, f"{address} {known_key}\n", process)


def _write_files(home: Path, authorized: Path) -> str:
    """Make what `INIT` wants to find; return the public host key."""
    home.mkdir()
    _keygen(home / "host_key")
    (home / "authorized_keys").write_text(authorized.read_text())
    (home / "sshd_config").write_text(SSHD_CONFIG)
    (home / "password").write_text(SUDO_PASSWORD)
    return " ".join((home / "host_key.pub").read_text().split()[:2])


def _keygen(path: Path) -> None:
    argv = [require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


@contextmanager
def free_subnet() -> Iterator[int]:
    """The x of a 10.203.x.0/24 that neither this machine nor another run of the tests uses."""
    routes = subprocess.run([require("ip"), "route"], check=True, capture_output=True, text=True).stdout
    with socket.socket(socket.AF_UNIX) as claim:
        for subnet in random.sample(range(256), 256):
            if f"10.203.{subnet}." in routes:
                continue
            try:
                # An abstract name: taken by one process at a time, free again when that ends.
                claim.bind(f"\0ansible-api-tests-10.203.{subnet}")
            except OSError:
                continue
            yield subnet
            return
    raise RuntimeError("no free subnet in 10.203.0.0/16")
