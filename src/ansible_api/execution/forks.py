"""The worker's side of its fork server: one per worker process, started when it is first needed or has gone."""

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

COMMAND = (sys.executable, "-I", "-m", "ansible_api.execution.fork_server")
PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # which authorities the worker trusts is not the job's to say
AT_ONCE = 30.0  # seconds that a fork server on a busy machine may take for what it does at once


def surroundings() -> dict[str, str]:
    """What the git subprocess sees of the worker's environment."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **passed_on}


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork that talks over `conversation`; it is killed with all that it started when `control` is shut."""

    conversation: socket.socket
    control: socket.socket
    server: subprocess.Popen[bytes]

    def ended(self) -> int | None:
        """Wait until it has ended; its exit code, negative for a signal, None when nobody is left to know."""
        self.control.settimeout(AT_ONCE)
        status = b""
        try:
            status = self.control.recv(16)
        except TimeoutError:
            self.server.kill()  # it hangs, and its forks end with it
        except ConnectionResetError:
            pass
        return os.waitstatus_to_exitcode(int(status)) if status else None

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        with self.conversation, self.control:
            with suppress(OSError):
                self.control.shutdown(socket.SHUT_WR)
            self.ended()


@dataclass(frozen=True, slots=True)
class _Server:
    process: subprocess.Popen[bytes]
    calls: socket.socket

    @classmethod
    def start(cls) -> "_Server":
        calls, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            process = subprocess.Popen(
                COMMAND,
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=surroundings(),
                start_new_session=True,
            )
        return cls(process, calls)

    def call(self) -> Fork:
        conversation, its_conversation = socket.socketpair()
        control, its_control = socket.socketpair()
        with its_conversation, its_control:
            try:
                socket.send_fds(self.calls, [b"f"], [its_conversation.fileno(), its_control.fileno()])
            except OSError:
                conversation.close()
                control.close()
                raise
        return Fork(conversation, control, self.process)

    def stop(self) -> None:
        """It ends when nobody can call it any more."""
        self.calls.close()
        self.process.wait()

    def forget(self) -> None:
        """It is another process's child."""
        self.calls.close()
        self.process.returncode = 0


_server: _Server | None = None
_starting = threading.Lock()


def new_fork() -> Fork:
    """A fork of this process's server; it may still be starting."""
    global _server
    with _starting:
        if _server is not None:
            try:
                return _server.call()
            except (BrokenPipeError, ConnectionResetError):  # it was killed
                _server.stop()
        _server = _Server.start()
        return _server.call()


def _forget() -> None:
    """A forked worker gets a server of its own, and does not keep the other's alive."""
    global _server
    if _server is not None:
        _server.forget()
        _server = None
    _starting.release()


os.register_at_fork(before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_forget)
