"""The parent process of one play: nothing of the play outlives it, and it does not outlive its worker.

`python -I -m ansible_api.execution.guardian <worker pid> <grace> <layers> <lease> <command> …` runs the command and
ends with its exit code, or 128 + signal. The worker's SIGTERM is passed on once; after `grace` seconds, or at once when
the worker has died, everything below is killed. A SIGTERM of anybody else changes nothing: whoever shuts down by
signalling all processes of a worker leaves its plays to it. `layers` is how many processes of the sandbox stand between
guardian and play.

`lease` is empty, or a file whose time of modification, on the clock of `processes.boot_time`, is when everything is
killed: the worker sets it anew whenever it has renewed its lease. So a worker that hangs, or is cut off, plays no
longer than it may.

The guardian keeps its output open until all is dead: the worker reads the end of it as the end of the play.
"""

import os
import signal
import sys
import time

from ansible_api import processes

WATCHED = {signal.SIGCHLD, signal.SIGTERM}
LAST_WAIT = 30.0  # for processes that hang in the kernel
LONGEST_LOOK = 1.0  # the kernel's time-outs stand still while the machine is suspended, a lease does not


def main(arguments: list[str]) -> int:
    """Run the command and clear up behind it."""
    # Blocked before anything is started: no signal is lost between here and the wait for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    worker, grace, layers, command = int(arguments[0]), float(arguments[1]), int(arguments[2]), arguments[4:]
    lease = arguments[3]
    processes.die_with_parent(signal.SIGTERM)
    processes.become_subreaper()
    if os.getppid() != worker:  # it died before the kernel was asked
        return 128 + signal.SIGTERM
    code = _watch(_start(command), worker, grace, layers, lease)
    processes.kill_until_gone(lambda: processes.descendants(os.getpid()), LAST_WAIT, _reap)
    return code


def _start(command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()  # away from the worker's terminal: no signals from it, no prompts to it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the worker's children ignore it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        os.execvpe(command[0], command, os.environ)  # noqa: S606  no shell is what we want
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def _watch(play: int, worker: int, grace: float, layers: int, lease: str) -> int:
    deadline = None
    while True:
        if (code := _reap().get(play)) is not None:
            return code
        left = min(60.0 if deadline is None else deadline - time.monotonic(), _left(lease) if lease else 60.0)
        if left <= 0:
            return 128 + signal.SIGKILL
        received = signal.sigtimedwait(WATCHED, min(left, LONGEST_LOOK) if lease else left)
        if received and received.si_signo == signal.SIGTERM:
            if os.getppid() != worker:
                return 128 + signal.SIGKILL
            if deadline is None and received.si_pid == worker:
                _pass_on(play, layers)
                deadline = time.monotonic() + grace


def _left(lease: str) -> float:
    """Seconds until everything must be dead; none when the file has gone."""
    try:
        return os.stat(lease).st_mtime - processes.boot_time()  # noqa: PTH116
    except OSError:
        return 0.0


def _pass_on(play: int, layers: int) -> None:
    target: int | None = play
    for _ in range(layers):
        target = processes.oldest_child(target) if target else None
    processes.send(target or play, signal.SIGTERM)


def _reap() -> dict[int, int]:
    """Exit codes of all children that have ended."""
    codes: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return codes
        if not pid:
            return codes
        code = os.waitstatus_to_exitcode(status)
        codes[pid] = code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
