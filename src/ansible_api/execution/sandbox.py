"""What keeps a play apart from its worker: bubblewrap where it works, else a process tree that is killed whole.

The seam for other launchers: `wrap` gets a Command and the places it may see, and gives the argv to start; a Play is
what can then be told to end and killed whole. Every launcher starts the play below a guardian (guardian.py).

The guardian, and with it the play, dies with the *thread* that started it: start a play from the thread that waits
for it.
"""

import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ansible_api import processes
from ansible_api.errors import JobError, StartupError
from ansible_api.execution.workspace import MARKER, Workspace, kill_marked, write_private
from ansible_api.settings import Isolation

PROBE_TIMEOUT = 10.0
OWN_VARIABLES = (MARKER, "LANG", "PATH")  # of a play's environment, what its guardian and bwrap get themselves
LONGEST_SHUTDOWN = 5.0  # what the guardian may take beyond the grace before the worker kills by itself

# What programs need to resolve names, check certificates and speak ssh; no accounts' secrets, no host keys, no
# configuration of services.
ETC = (
    *("passwd", "group", "nsswitch.conf", "hosts", "host.conf", "hostname", "resolv.conf", "gai.conf"),
    *("services", "protocols", "localtime", "timezone", "mime.types", "alternatives", "os-release"),
    *("debian_version", "redhat-release", "lsb-release", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"),
    *("ssl/certs", "ssl/openssl.cnf", "ca-certificates", "ca-certificates.conf", "crypto-policies"),
    *("pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf"),
    *("ssh/ssh_config", "ssh/ssh_config.d", "ssh/ssh_known_hosts", "krb5.conf", "krb5.conf.d"),
)
PROC_READ_ONLY = ("sys", "sysrq-trigger", "fs", "irq", "bus", "acpi", "scsi")
PROC_HIDDEN = ("kcore", "keys", "timer_list", "sched_debug")
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Of root's powers only those over the play's own files and processes: no mounts, devices, tracing or raw sockets.
CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a play finds its private directories, as it sees them."""

    home: Path
    tmp: Path
    sockets: Path  # a short path: unix sockets allow 108 bytes


@dataclass(frozen=True, slots=True)
class Command:
    """What to start in the project's directory, with exactly this environment, which may hold secrets.

    Beside the workspace's own directories it may read `readable` and write `writable`.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """How a sandbox starts a command; `arguments` go through a file that only the sandbox's program reads."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()


ARGUMENTS = "{arguments}"  # stands in a Launch's argv for the number of that file


class Sandbox(Protocol):
    """One way to keep a play apart."""

    layers: int  # processes between the guardian's child and the play

    def describe(self) -> str:
        """One line for the log at start."""

    def places(self, room: Workspace) -> Places:
        """The play's private directories."""

    def furnish(self, room: Workspace) -> None:
        """Write the files that `wrap` names."""

    def wrap(self, command: Command, room: Workspace) -> Launch:
        """What starts the command in this sandbox, in a furnished room."""


class Bubblewrap:
    """Own PID, IPC, UTS and mount namespaces; sees its workspace, the interpreter and the system's programs."""

    layers = 2  # bwrap, and its process 1 within

    def __init__(self, program: str) -> None:
        self._program = program

    def describe(self) -> str:
        return f"bubblewrap ({self._program})"

    def places(self, room: Workspace) -> Places:
        private = Path("/tmp")  # noqa: S108  a tmpfs of the play's own
        return Places(private / "home", private, private / "cp")

    def furnish(self, room: Workspace) -> None:
        if not _accounts(room).exists():  # else an earlier command of this attempt was here
            write_private(_accounts(room), _account_lines(self.places(room).home))

    def wrap(self, command: Command, room: Workspace) -> Launch:
        places = self.places(room)
        argv = [
            *self.base(),
            *("--dir", str(places.home), "--dir", str(places.sockets)),
            *_binds("--bind", (room.project, room.artifacts, room.events, *command.writable)),
            *_binds("--ro-bind", (room.inventory, room.secrets, *command.readable)),
            *("--ro-bind", str(_accounts(room)), "/etc/passwd"),
            *("--remount-ro", "/", "--chdir", str(room.project), "--clearenv"),
            *("--args", ARGUMENTS, "--", *command.argv),
        ]
        # Not by this environment: bwrap itself runs outside, and some variables make it run other code.
        inside = tuple(part for item in command.environment.items() for part in ("--setenv", *item))
        own = {name: command.environment[name] for name in OWN_VARIABLES if name in command.environment}
        return Launch(tuple(argv), own, inside)

    def base(self) -> list[str]:
        """Everything but the job's own parts; also what the probe runs."""
        return [
            self._program,
            *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session"),
            *_privileges(),
            *("--perms", "0755", "--dir", "/etc"),  # or others than root could not enter it
            *_system(),
            *("--proc", "/proc", *_sealed_proc(), "--dev", "/dev"),
            *(part for path in ("/tmp", "/run", "/var/tmp") for part in ("--perms", "1777", "--tmpfs", path)),  # noqa: S108
            *_binds("--ro-bind", interpreter_paths()),
        ]


class NoSandbox:
    """No boundary: only the environment is the play's own, and its processes are held together by the guardian."""

    layers = 0

    def describe(self) -> str:
        return "none: plays see this worker's files and processes; keep one worker per trust boundary"

    def places(self, room: Workspace) -> Places:
        return Places(room.home, room.tmp, room.secrets / "cp")

    def furnish(self, room: Workspace) -> None:
        pass

    def wrap(self, command: Command, room: Workspace) -> Launch:
        return Launch(command.argv, command.environment)


@dataclass(frozen=True, slots=True)
class Guard:
    """Ends a play whose worker could not renew its lease for so many `seconds`, also when the worker hangs.

    `renewed` tells when it did last, by `processes.boot_time`.
    """

    seconds: float
    renewed: Callable[[], float]

    @property
    def end(self) -> float:
        """When the play must be dead, by the same clock."""
        return self.renewed() + self.seconds

    @property
    def over(self) -> bool:
        return processes.boot_time() >= self.end


@dataclass(slots=True)
class Play:
    """The processes of one play."""

    marker: str
    sandbox: Sandbox
    grace: float
    guard: Guard | None = None
    _lease: Path | None = None

    def furnish(self, room: Workspace) -> None:
        """Write all that its start needs, before that: OSError when the disk does not take it."""
        self.sandbox.furnish(room)
        if self.guard:
            self._lease = room.control / "lease"
            self._lease.touch(mode=0o600)

    def start(self, command: Command, room: Workspace, *, stderr: int) -> subprocess.Popen[bytes]:
        """Start the guardian and what it guards, in a furnished room; its output comes through pipes.

        It ends with the calling thread. JobError credential_misfit for an environment that would be read as other than
        that.
        """
        if any("\0" in part for item in command.environment.items() for part in item):  # ends one of bwrap's arguments
            detail = "an environment variable holds a NUL character: store its credential anew, without"
            raise JobError("credential_misfit", detail)
        launch = self.sandbox.wrap(command, room)
        guardian = [sys.executable, "-I", "-m", "ansible_api.execution.guardian"]
        self.keep()
        numbers = [os.getpid(), self.grace, self.sandbox.layers, self._lease or ""]
        handle = _in_memory(launch.arguments)
        try:
            argv = [str(handle) if part == ARGUMENTS else part for part in launch.argv]
            return subprocess.Popen(
                [*guardian, *map(str, numbers), *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=room.project,
                env=dict(launch.environment),
                pass_fds=[handle],
            )
        finally:
            os.close(handle)

    def keep(self) -> None:
        """Pass a renewed lease on to the guardian; to be called often."""
        if self._lease and self.guard:
            os.utime(self._lease, (self.guard.end, self.guard.end))

    def terminate(self) -> None:
        """Ask the play to end; its guardian kills what still lives after the grace."""
        for pid in self._guardians():
            processes.send(pid, signal.SIGTERM)

    def kill(self) -> bool:
        """End every process of the play now; False when one could not be killed."""
        return kill_marked(self.marker)

    def _guardians(self) -> Iterator[int]:
        """The one process with the marker that this worker started itself."""
        pids = processes.marked(MARKER, self.marker)
        return (pid for pid in pids if processes.parent(pid) == os.getpid())


def _in_memory(arguments: Sequence[str]) -> int:
    """A file without a name that holds the arguments as bwrap's --args reads them."""
    handle = os.memfd_create("arguments", os.MFD_CLOEXEC)
    os.write(handle, b"".join(os.fsencode(part) + b"\0" for part in arguments))
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


@functools.cache
def choose(isolation: Isolation) -> Sandbox:
    """The sandbox for this worker; StartupError when the one that was asked for does not work here."""
    if isolation is Isolation.NONE:
        return NoSandbox()
    program = shutil.which("bwrap")
    trouble = _probe(Bubblewrap(program)) if program else "there is no bwrap on PATH"
    if program and not trouble:
        return Bubblewrap(program)
    if isolation is Isolation.AUTO:
        return NoSandbox()
    raise StartupError(f"bubblewrap does not work here: {trouble}; install it, allow namespaces, or set isolation none")


def interpreter_paths() -> list[Path]:
    """Where Python and Ansible live, unless the system's directories hold them."""
    prefixes = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent}
    paths = prefixes | {path.resolve() for path in prefixes}
    return sorted(path for path in paths if not path.is_relative_to("/usr") and path != Path("/"))


def _probe(sandbox: Bubblewrap) -> str | None:
    """What is wrong with bubblewrap here."""
    try:
        done = subprocess.run(
            [*sandbox.base(), "--remount-ro", "/", "--", sys.executable, "-I", "-c", ""],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT,
            env={},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()[:300] or f"exit code {done.returncode}"


def _sealed_proc() -> list[str]:
    """bwrap 0.8 leaves /proc/sys writable for uid 0, in a user namespace too: one write there owns the machine."""
    sealed = [path for name in PROC_READ_ONLY if (path := Path("/proc", name)).exists()]
    hidden = [path for name in PROC_HIDDEN if (path := Path("/proc", name)).exists()]
    return [*_binds("--ro-bind", sealed), *(part for path in hidden for part in ("--ro-bind", os.devnull, str(path)))]


def _accounts(room: Workspace) -> Path:
    return room.control / "passwd"


def _account_lines(home: Path) -> str:
    """The system's accounts, ours with the private home: ssh and Ansible look there, not at HOME."""
    uid = os.geteuid()
    name = next((entry.pw_name for entry in pwd.getpwall() if entry.pw_uid == uid), "ansible")
    others = [entry for entry in pwd.getpwall() if entry.pw_uid != uid and entry.pw_name != name]
    lines = [f"{name}:x:{uid}:{os.getegid()}::{home}:/bin/sh"]
    lines += [f"{entry.pw_name}:x:{entry.pw_uid}:{entry.pw_gid}::{entry.pw_dir}:{entry.pw_shell}" for entry in others]
    return "\n".join(lines) + "\n"


def _privileges() -> list[str]:
    if os.geteuid() != 0:
        return ["--unshare-user"]
    return ["--cap-drop", "ALL", *(part for name in CAPABILITIES for part in ("--cap-add", name))]


def _system() -> list[str]:
    links, directories = [], [Path("/usr")]
    for path in (Path("/", name) for name in SYSTEM):
        if path.is_symlink():
            links += ["--symlink", os.readlink(path), str(path)]  # noqa: PTH115
        elif path.is_dir():
            directories.append(path)
    etc = [path for name in ETC if (path := Path("/etc", name)).exists()]
    return [*_binds("--ro-bind", directories), *links, *_binds("--ro-bind", etc)]


def _binds(option: str, paths: Sequence[Path]) -> list[str]:
    return [part for path in paths for part in (option, str(path), str(path))]
