"""Spools as plays leave them, for the tests of what happens to logs afterwards."""

from pathlib import Path

from ansible_api.events.spool import SpoolWriter, path_of
from ansible_api.events.types import Event
from ansible_api.jobs.store import Fence


def event(seq: int) -> Event:
    return Event(seq, "2026-01-15T10:00:00Z", "runner_on_ok", f"line {seq} ä" if seq % 3 else "", host="web1")


def lines(last: int, first: int = 1) -> bytes:
    """Those events as NDJSON."""
    return b"".join(event(seq).to_line() + b"\n" for seq in range(first, last + 1))


def spool(state_dir: Path, fence: Fence, last: int) -> Path:
    """A spool of so many events that nobody holds any more."""
    folder = state_dir / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, fence.job_id, fence.attempt)
    writer = SpoolWriter(path)
    for seq in range(1, last + 1):
        writer.append(event(seq))
    writer.close()
    return path


def after_reset(path: Path, *, keep: int, boot: str = ".f0c4b2de-7d0b-4d2c-9a3e-1f6b8a1c2d3e") -> Path:
    """The spool once the machine has lost power: so many of its events had reached the disk."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    found = path.with_name(".".join(path.name.split(".")[:2]) + f"{boot}.ndjson")
    found.write_bytes(b"".join(lines[:keep]))
    return found
