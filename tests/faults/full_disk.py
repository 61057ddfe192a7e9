"""Scenario: a worker's disk is full, and then it has no inodes left, while jobs come in."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.cut_off import others_stopped
from tests.faults.installation import Installation, Part
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.servers.requirements import require, require_namespaces
from tests.waiting import wait_for

CODES = {"spool_failed", "worker_disk_full", "source_not_stored"}
MOUNT = 'mkdir -p "$1"; mount -t tmpfs -o size=48m,nr_inodes=4000,mode=0700 tmpfs "$1"; shift; exec "$@"'


def full_disk(rig: Installation, short: bool, _seed: int) -> Result:
    """Jobs end with a reason, or elsewhere; none is lost; with space again the worker works again."""
    require_namespaces()
    result = Result("disk full, inodes full")
    load = Load(rig, None, lambda _: {})
    seconds = 3.0 if short else 60.0
    played: list[str] = []
    with watching(rig) as watch, _small_worker(rig) as (part, disk):
        for fill in (_fill_blocks, _fill_inodes):
            with others_stopped(rig, part):
                playing = str(load.submit(job(rig, seconds=2.0)))
                played.append(playing)
                wait_for(lambda playing=playing: rig.ledger.of(playing, "start"), 60, message="the play did not begin")
                with fill(disk):
                    for _ in range(4):
                        load.submit(job(rig))
                    time.sleep(seconds)
                after = str(load.submit(job(rig)))
                wait_for(lambda after=after: rig.ledger.of(after, "end"), 90, message="no job ran once there was space")
        jobs = judge(rig, result, load.accepted, watch)
    for job_id, found in jobs.items():
        # Ansible itself may have failed for want of room, which is the play's end; nothing else may look like that.
        code = (found["error"] or {}).get("code")
        told = found["status"] == "successful" or code in CODES or (found["status"] == "failed" and job_id in played)
        result.expect(told, f"{job_id} ended as {found['status']}: {found['error']}")
    return result


@contextmanager
def _small_worker(rig: Installation) -> Iterator[tuple[Part, Path]]:
    """A worker whose state directory is a small file system that only it sees."""
    state = rig.folder / "state-small"
    inside = (require("unshare"), "--mount", "--propagation", "private", "--", "/bin/sh", "-c", MOUNT, "sh", str(state))
    part = rig.add_worker("small", prefix=inside)
    try:
        rig.wait_until_ready(part)
        yield part, Path(f"/proc/{part.pid}/root{state}")
    finally:
        rig.remove(part)


@contextmanager
def _fill_blocks(disk: Path) -> Iterator[None]:
    ballast = disk / "ballast"
    try:
        with ballast.open("wb") as file:
            _until_full(lambda: os.write(file.fileno(), bytes(65536)))
            _until_full(lambda: os.write(file.fileno(), b"x"))
        yield
    finally:
        ballast.unlink()


@contextmanager
def _fill_inodes(disk: Path) -> Iterator[None]:
    folder = disk / "ballast"
    folder.mkdir()
    names = iter(range(100_000))
    try:
        _until_full(lambda: (folder / str(next(names))).touch())
        yield
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _until_full(write: object) -> None:
    while True:
        try:
            write()  # type: ignore[operator]
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
