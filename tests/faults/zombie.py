"""Scenario: a worker stops, with all its processes, for longer than its lease, and wakes up again."""

import random
import signal
import time

from ansible_api import processes
from ansible_api.execution.workspace import MARKER
from tests.faults.installation import LEASE, Installation, Part
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.waiting import wait_for


def zombie(rig: Installation, short: bool, seed: int) -> Result:
    """The first play is dead before the second starts, and what the first worker writes later changes nothing."""
    result = Result("a worker that stops and wakes up")
    load, moments = Load(rig, None, lambda _: {}), random.Random(seed)
    with watching(rig) as watch:
        for _ in range(1 if short else 10):
            _stop_and_wake(rig, result, load, after=moments.uniform(0, LEASE))
        judge(rig, result, load.accepted, watch)
    return result


def _stop_and_wake(rig: Installation, result: Result, load: Load, *, after: float) -> None:
    """`after` so many seconds of the play: the lease has been renewed at other moments each time."""
    job_id = load.submit(job(rig, seconds=2.5 * LEASE, on_worker_loss="rerun"))
    assert job_id is not None
    wait_for(lambda: rig.ledger.of(job_id, "start"), 60, message="the play did not begin")
    time.sleep(after)
    part = owner_of(rig, job_id)
    frozen = worker_processes(part)
    for pid in frozen:
        processes.send(pid, signal.SIGSTOP)
    result.kills += 1
    try:
        wait_for(lambda: len(rig.ledger.of(job_id, "start")) == 2, 60, message="no second attempt began")
    finally:
        for pid in frozen:
            processes.send(pid, signal.SIGCONT)
    wait_for(lambda: rig.rows("SELECT 1 FROM $jobs WHERE id = %s AND closed_at IS NOT NULL", job_id), 60)
    before = _written(rig, job_id)
    time.sleep(LEASE)  # whatever the first worker still wants to write, it has tried by now
    result.expect(_written(rig, job_id) == before, f"the first worker changed {job_id}")
    with rig.client() as client:
        found = client.get(f"/api/v1/jobs/{job_id}").json()
        log = client.get(f"/api/v1/jobs/{job_id}/logs", follow_redirects=True).text
    result.expect((found["status"], found["attempt"]) == ("successful", 2), f"{job_id}: {found['status']}")
    result.expect(log.count("TASK [Note]") == 1 and log.count("PLAY RECAP") == 1, f"the log of {job_id}:\n{log}")
    ends = [entry.attempt for entry in rig.ledger.of(job_id, "end")]
    result.expect(ends == [2], f"ends of attempts {ends}")


def owner_of(rig: Installation, job_id: str) -> Part:
    """The worker that runs a job: leases name the parent's pid and the child's."""
    ((owner,),) = rig.rows("SELECT lease_owner FROM $jobs WHERE id = %s", job_id)
    parent = int(owner.split(":")[1])
    return next(part for part in rig.workers() if parent in (part.pid, *processes.descendants(part.pid)))


def worker_processes(part: Part) -> list[int]:
    """The worker's own processes, without the plays below them."""
    plays = processes.marked(MARKER)
    return [pid for pid in (part.pid, *processes.descendants(part.pid)) if pid not in plays]


def _written(rig: Installation, job_id: str) -> list[tuple]:
    columns = "status, attempt, finished_at, closed_at, log_status, return_code, error_code, timings"
    return [
        *rig.rows(f"SELECT {columns} FROM $jobs WHERE id = %s", job_id),
        *rig.rows("SELECT kind, `key`, size, sha256 FROM $job_objects WHERE job_id = %s ORDER BY kind", job_id),
        *rig.rows("SELECT host, ok, failed FROM $job_hosts WHERE job_id = %s ORDER BY host", job_id),
    ]
