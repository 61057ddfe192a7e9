"""The long-living process that forks one for each conversation about a repository, with all that git needs loaded.

It passes on the sockets that it is sent and never reads from them, so no request, and no secret in one, is ever in its
memory. Only it signals and reaps its forks, and from one thread, so that an id never belongs to another process
meanwhile. It ends when its worker does, and the kernel then ends its forks.
"""

import gc
import os
import selectors
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import NoReturn

from ansible_api.execution.fetch import converse
from ansible_api.execution.git_http import trusting
from ansible_api.processes import die_with_parent

LATER = ("dulwich.trailers", "dulwich.worktree", "encodings.idna")  # what is otherwise loaded when it is first used


def main() -> None:
    """Serve the worker at the other end of stdin."""
    os.chdir("/")
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # a worker that shuts down may still finish what it has begun
    for name in LATER:
        import_module(name)
    trusting()
    gc.freeze()  # so that a collection in a fork leaves the shared pages alone
    ForkServer(socket.socket(fileno=0)).run()


@dataclass(frozen=True, slots=True)
class Fork:
    """A running fork: `alive` is at its end when the fork is, and `control` when the worker wants no more of it."""

    pid: int
    alive: int
    control: socket.socket


class ForkServer:
    """Forks when it is called, kills when it is told, and tells the wait status of each fork that ended."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._forks: dict[int, Fork] = {}
        self._selector = selectors.PollSelector()  # unlike epoll's, not shared with forks
        self._selector.register(worker, selectors.EVENT_READ, self._called)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _called(self) -> None:
        call, handles, _, _ = socket.recv_fds(self._worker, 1, 2)
        if not call:
            raise SystemExit  # the worker is gone
        ends = [socket.socket(fileno=handle) for handle in handles]
        fork = self._fork(*ends) if len(ends) == 2 else None
        for end in ends:
            if fork is None or end is not fork.control:
                end.close()

    def _fork(self, conversation: socket.socket, control: socket.socket) -> Fork | None:
        """None when the machine gives no process or handle: the worker then sees both sockets end."""
        server = os.getpid()
        try:
            alive, held = os.pipe()
        except OSError:
            return None
        try:
            pid = os.fork()
            if not pid:
                self._become(server, conversation, (alive, control.fileno()))
        except OSError:
            os.close(alive)
            return None
        finally:
            os.close(held)
        fork = self._forks[pid] = Fork(pid, alive, control)
        self._selector.register(alive, selectors.EVENT_READ, partial(self._ended, fork))
        self._selector.register(control, selectors.EVENT_READ, partial(self._unwanted, fork))
        return fork

    def _become(self, server: int, conversation: socket.socket, others: tuple[int, ...]) -> NoReturn:
        """What the fork does: talk, with nothing of the server or of other forks at hand."""
        code = 1
        try:
            die_with_parent(parent=server)
            os.setsid()
            of_forks = [handle for fork in self._forks.values() for handle in (fork.alive, fork.control.fileno())]
            for handle in (*others, *of_forks, self._worker.fileno()):
                os.close(handle)
            converse(conversation)
            code = 0
        finally:
            os._exit(code)

    def _unwanted(self, fork: Fork) -> None:
        if self._forks.get(fork.pid) is fork:  # it may have ended in the same moment
            self._selector.unregister(fork.control)
            _kill(fork.pid)

    def _ended(self, fork: Fork) -> None:
        _kill(fork.pid)  # with what it started; not reaped yet, its id is still its own
        _, status = os.waitpid(fork.pid, 0)
        del self._forks[fork.pid]
        self._selector.unregister(fork.alive)
        os.close(fork.alive)
        with suppress(KeyError):
            self._selector.unregister(fork.control)
        with suppress(OSError):
            fork.control.send(str(status).encode())
        fork.control.close()


def _kill(pid: int) -> None:
    """End a fork and its session, which it may have had no time to begin."""
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
