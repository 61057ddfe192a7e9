"""The processes of a test: each carries a mark in its environment, by which it is found; and how one is ended."""

import subprocess
import uuid
from pathlib import Path

MARK = "TEST_PROCESS_MARK"


def new_mark() -> str:
    """A value for MARK that no other test has."""
    return uuid.uuid4().hex


def processes_with(mark: str) -> list[int]:
    """The living processes that inherited the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"{MARK}={mark}".encode() in environ.split(b"\0"):
                found.append(int(entry.name))
    return found


def end(process: subprocess.Popen[bytes], grace: float = 15) -> None:
    """SIGTERM, and SIGKILL for one that is still there after so many seconds."""
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
