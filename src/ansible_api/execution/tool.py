"""Runs one of Ansible's other commands in the job's sandbox, before its play, and keeps what it prints."""

import os
import select
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from ansible_api.errors import JobError
from ansible_api.execution.mask import Mask
from ansible_api.execution.sandbox import Command, Play, Sandbox
from ansible_api.execution.workspace import Workspace
from ansible_api.settings import MIB

TICK = 0.25  # seconds between two looks at keep_going
PIECE = 64 * 1024
OUTPUT_LIMIT = 64 * MIB
STDERR_LIMIT = 1 * MIB
GRACE = 2.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended, and what it printed; stdout may be data for the play, and is not masked."""

    code: int
    stdout: bytes
    stderr: str


class ToolTimedOut(Exception):
    """The command took longer than it may."""


def run_tool(
    command: Command,
    room: Workspace,
    sandbox: Sandbox,
    *,
    timeout: float,
    keep_going: Callable[[], bool],
    mask: Mask,
    limit: int = OUTPUT_LIMIT,
) -> Finished:
    """Run it to its end; afterwards no process of it lives.

    Its stderr is masked here: whoever explains it cuts and cleans it, and of what is left no mask finds a secret.

    Raises ToolTimedOut, and JobError `output_too_large` (more than `limit` bytes) or `canceled`.
    """
    deadline = time.monotonic() + timeout
    play = Play(room.marker, sandbox, GRACE)
    play.furnish(room)
    process = play.start(command, room, stderr=subprocess.PIPE)
    try:
        stdout, stderr = _pump(process, deadline, keep_going, limit)
        return Finished(process.wait(), stdout, mask.text(stderr.decode(errors="replace")))
    finally:
        play.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def _pump(
    process: "subprocess.Popen[bytes]", deadline: float, keep_going: Callable[[], bool], limit: int
) -> tuple[bytes, bytes]:
    """All of both outputs; of stderr the end is dropped where it is too long."""
    if process.stdout is None or process.stderr is None:
        raise AssertionError("started with pipes")
    out, err = process.stdout.fileno(), process.stderr.fileno()
    texts = {out: bytearray(), err: bytearray()}
    poll = select.poll()
    for handle in texts:
        poll.register(handle, select.POLLIN)
    waiting = set(texts)
    while waiting:
        _check(deadline, keep_going)
        for handle, _ in poll.poll(TICK * 1000):
            piece = os.read(handle, PIECE)
            if not piece:
                poll.unregister(handle)
                waiting.discard(handle)
            elif handle == out or len(texts[err]) < STDERR_LIMIT:
                texts[handle] += piece
        if len(texts[out]) > limit:
            raise JobError("output_too_large", f"a command of Ansible's printed more than {limit} bytes")
        if process.poll() is not None and not poll.poll(0):  # and something else keeps a pipe open
            break
    return bytes(texts[out]), bytes(texts[err])


def _check(deadline: float, keep_going: Callable[[], bool]) -> None:
    if not keep_going():
        raise JobError("canceled", "the job was stopped while it was prepared")
    if time.monotonic() > deadline:
        raise ToolTimedOut
