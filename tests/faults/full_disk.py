"""Scenario: a worker's disk is full, and then it has no inodes left, while jobs come in."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.cut_off import others_stopped
from tests.faults.installation import Installation, Part
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.servers.processes import free_port
from tests.servers.requirements import require_namespaces
from tests.servers.small_disk import on_small_disk, without_blocks, without_inodes
from tests.waiting import wait_for

CODES = {"spool_failed", "worker_disk_full", "source_not_stored"}


def full_disk(rig: Installation, short: bool, _seed: int) -> Result:
    """Jobs end with a reason, or elsewhere; none is lost; with space again the worker works again."""
    require_namespaces()
    result = Result("disk full, inodes full")
    load = Load(rig, None, lambda _: {})
    seconds = 12.0 if short else 60.0  # the worker sums up what its dead children counted every ten
    played: list[str] = []
    with watching(rig) as watch, _small_worker(rig) as (part, disk):
        worker = part.pid
        for fill in (without_blocks, without_inodes):
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
        result.expect(part.pid == worker, "the worker did not survive the full disk")
        jobs = judge(rig, result, load.accepted, watch)
    for job_id, found in jobs.items():
        # Ansible itself may have failed for want of room, which is the play's end; nothing else may look like that.
        code = (found["error"] or {}).get("code")
        told = found["status"] == "successful" or code in CODES or (found["status"] == "failed" and job_id in played)
        result.expect(told, f"{job_id} ended as {found['status']}: {found['error']}")
    return result


@contextmanager
def _small_worker(rig: Installation) -> Iterator[tuple[Part, Path]]:
    """A worker whose state directory is a small file system that only it sees; each job's child counts in new files."""
    state = rig.folder / "state-small"
    counting = {"WORKER_PORT": str(free_port()), "CHILD_MAX_JOBS": "1"}
    part = rig.add_worker("small", prefix=on_small_disk(state), **counting)
    in_memory = list[Path]()
    try:
        rig.wait_until_ready(part)
        disk = Path(f"/proc/{part.pid}/root{state}")
        in_memory += [link.readlink() for link in disk.glob("workers/*/metrics")]
        yield part, disk
    finally:
        rig.remove(part)
        for folder in in_memory:  # no worker starts there again, which would do it
            shutil.rmtree(folder)
