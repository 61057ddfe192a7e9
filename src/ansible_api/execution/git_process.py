"""Starts the git subprocess, and ends it with all that it started when it is done, late or no longer wanted."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.forks import Fork, new_fork, surroundings
from ansible_api.execution.git_request import Answer, Request

POLL = 0.1  # seconds between two looks at keep_going


@dataclass(slots=True)
class Patience:
    """How long a checkout may go on: until its time is up or its job is no longer wanted."""

    timeout: float
    keep_going: Callable[[], bool]
    _deadline: float = field(init=False)
    _next_look: float = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.timeout

    def check(self) -> None:
        """Raise JobError `canceled` or TransientJobError `source_unreachable` when it is over."""
        now = time.monotonic()
        if now < self._next_look:
            return  # asked for every directory of a copy, and the answer may cost something
        self._next_look = now + POLL / 2
        if not self.keep_going():
            raise JobError("canceled", "The job was stopped while its source was fetched.")
        if now > self._deadline:
            detail = f"The repository did not come within {self.timeout:g} seconds: another attempt may be faster."
            raise TransientJobError("source_unreachable", detail)


class GitProcess:
    """A git subprocess, started with its first request and ended with all that it started by `close`."""

    def __init__(self, home: Path, patience: Patience) -> None:
        self._home, self._patience = home, patience
        self._fork: Fork | None = None

    def ask(self, request: Request) -> Answer:
        """Have a request served; JobError when the process does not live to answer it."""
        if self._fork is None:
            self._fork = _start()
        request = replace(request, environment={**surroundings(), "HOME": str(self._home)})
        output = _converse(self._fork, request.to_json(), self._patience)
        if not output.endswith(b"\n"):
            raise _died(self._fork.ended())
        return Answer.from_json(output)

    def close(self) -> None:
        """Kill the whole session."""
        if self._fork is not None:
            self._fork.kill()
            self._fork = None


def error_of(answer: Answer) -> JobError:
    """The error that a refused request means for the job."""
    return (TransientJobError if answer.transient else JobError)(answer.error, answer.detail)


def _start() -> Fork:
    try:
        return new_fork()
    except OSError:
        raise _died(None) from None


def _converse(fork: Fork, text: bytes, patience: Patience) -> bytes:
    output = b""
    with suppress(BrokenPipeError, ConnectionResetError):
        fork.conversation.settimeout(None)
        fork.conversation.sendall(text)
        fork.conversation.settimeout(POLL)
        while not output.endswith(b"\n"):
            patience.check()
            with suppress(TimeoutError):
                piece = fork.conversation.recv(65536)
                if not piece:
                    break
                output += piece
    return output


def _died(code: int | None) -> JobError:
    if code in (None, -signal.SIGKILL):
        detail = "The fetch was killed, as happens when the worker is short of memory: another attempt may succeed."
        return TransientJobError("source_unreachable", detail)
    if code == -signal.SIGXCPU:
        return JobError("source_too_large", "The repository takes too much processor time to read: make it smaller.")
    return JobError("source_invalid", f"Reading the repository failed with exit code {code}: check that it is sound.")
