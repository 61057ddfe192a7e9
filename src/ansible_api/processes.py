"""Linux processes: prctl, finding a tree or the bearers of a marker through /proc, and killing until none is left.

Light on imports: every play's guardian starts with this module.
"""

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STATE, _PARENT, _START = 0, 1, 19  # places in /proc/<pid>/stat after the command's name

_libc = ctypes.CDLL(None, use_errno=True)


@cache
def boot_id() -> str:
    """What tells one start of the machine from another; the same in all its containers."""
    with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123
        return file.read().strip()


def boot_time() -> float:
    """Seconds since the machine's start, the same for all its processes; unlike the monotonic clock it goes on while
    the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def die_with_parent(signum: int = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Ask the kernel for this signal when the *thread* that started this process ends (not only its process).

    With `parent`, a process whose parent was gone before it could ask ends at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> None:
    """Inherit every orphan below this process, so that a daemon cannot leave its tree."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def descendants(*roots: int) -> list[int]:
    """Pids below the roots, parents before children; zombies are not counted."""
    children = defaultdict(list)
    for pid in _pids():
        if stat := _stat(pid):
            children[int(stat[_PARENT])].append((int(stat[_START]), pid, stat[_STATE]))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        for _, pid, state in sorted(children[waiting.pop(0)]):
            waiting.append(pid)
            if state not in ("Z", "X"):
                found.append(pid)
    return found


def parent(pid: int) -> int | None:
    """The pid of the process's parent, None when it is gone."""
    stat = _stat(pid)
    return int(stat[_PARENT]) if stat else None


def children(of: int) -> list[int]:
    """Pids of the processes, zombies too, that this one started or inherited."""
    return [pid for pid in _pids() if (stat := _stat(pid)) and int(stat[_PARENT]) == of]


def oldest_child(of: int) -> int | None:
    """The first process that this one started and that still lives."""
    living = [
        (int(stat[_START]), pid)
        for pid in _pids()
        if (stat := _stat(pid)) and int(stat[_PARENT]) == of and stat[_STATE] not in ("Z", "X")
    ]
    return min(living)[1] if living else None


def marked(variable: str, value: str | None = None) -> dict[int, str]:
    """Pid and value of every process whose environment at its start had the variable (with that value)."""
    found = {}
    for pid in _pids():
        if (text := _environment(pid).get(variable)) is not None and value in (None, text):
            found[pid] = text
    found.pop(os.getpid(), None)
    return found


def kill_until_gone(find: Callable[[], list[int]], timeout: float, tidy: Callable[[], object] | None = None) -> bool:
    """SIGKILL whatever `find` finds until it finds nothing; False when some still lived after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while pids := find():
        for pid in pids:
            send(pid, signal.SIGKILL)
        if tidy:
            tidy()
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return True


def send(pid: int, signum: int) -> bool:
    """Signal a process; False when it is gone or not ours."""
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  pathlib costs 10 ms at start


def _stat(pid: int) -> list[str] | None:
    # The command's name may hold spaces and parentheses: the fields begin after its last one.
    text = _read(pid, "stat").decode(errors="replace")
    return text.rpartition(")")[2].split() or None


def _environment(pid: int) -> dict[str, str]:
    lines = _read(pid, "environ").decode(errors="replace").split("\0")
    return {name: value for name, found, value in (line.partition("=") for line in lines) if found}


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:  # ended meanwhile, or another user's
        return b""
