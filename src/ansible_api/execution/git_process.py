"""Starts the git subprocess, and ends it with all that it started when it is done, late or no longer wanted."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.git_request import Answer, Request

POLL = 0.1  # seconds between two looks at keep_going
COMMAND = (sys.executable, "-I", "-m", "ansible_api.execution.fetch")
PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # which authorities the worker trusts is not the job's to say


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
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Request) -> Answer:
        """Have a request served; JobError when the process does not live to answer it."""
        if self._process is None:
            self._process = _start(self._home)
        output = _converse(self._process, request.to_json(), self._patience)
        if not output.endswith(b"\n"):
            raise _died(self._process)
        return Answer.from_json(output)

    def close(self) -> None:
        """Kill the whole session; the leader is not reaped yet, so that its id cannot belong to anybody else."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with self._process:
                pass  # closes its pipes and reaps it
            self._process = None


def error_of(answer: Answer) -> JobError:
    """The error that a refused request means for the job."""
    return (TransientJobError if answer.transient else JobError)(answer.error, answer.detail)


def _start(home: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": str(home)}
    environment |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=home,
        start_new_session=True,
        bufsize=0,
    )


def _converse(process: subprocess.Popen[bytes], text: bytes, patience: Patience) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("started with pipes")
    with suppress(BrokenPipeError):
        process.stdin.write(text)
    output = b""
    while True:
        patience.check()
        if not select.select([process.stdout], [], [], POLL)[0]:
            continue
        piece = process.stdout.read(65536)
        output += piece
        if output.endswith(b"\n"):
            return output
        if not piece:
            return output


def _died(process: subprocess.Popen[bytes]) -> JobError:
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not reaped: its session is still to be killed
    if ended is None:
        raise AssertionError("waited without WNOHANG")
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    if code == -signal.SIGKILL:
        detail = "The fetch was killed, as happens when the worker is short of memory: another attempt may succeed."
        return TransientJobError("source_unreachable", detail)
    if code == -signal.SIGXCPU:
        return JobError("source_too_large", "The repository takes too much processor time to read: make it smaller.")
    return JobError("source_invalid", f"Reading the repository failed with exit code {code}: check that it is sound.")
