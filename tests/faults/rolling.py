"""Scenario: all workers are restarted one after another, as an upgrade does it, under load."""

import signal
import time

from tests.faults.installation import STUCK_LIMIT, Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.waiting import wait_for


def rolling_restart(rig: Installation, short: bool, _seed: int) -> Result:
    """What fits into the grace ends, the rest follows the policy, and no worker outstays its grace."""
    result = Result("rolling restart")
    grace = float(rig.service.env["SHUTDOWN_GRACE"])
    plays = [job(rig, seconds=1.0), job(rig, seconds=grace + 20), job(rig, seconds=grace + 20, on_worker_loss="rerun")]
    mix = (0, 0, 0, 1, 0, 0, 2)
    with watching(rig) as watch:
        load = Load(rig, None, lambda number: plays[mix[number % len(mix)]], pause=0.3, in_flight=10).start()
        wait_for(lambda: len(rig.ledger.entries()) >= 2, 60)
        for part in rig.workers()[: 2 if short else None]:
            began = time.monotonic()
            old = part.process
            assert old is not None
            old.send_signal(signal.SIGTERM)
            code = old.wait(grace + STUCK_LIMIT)
            result.kills += 1
            result.expect(code == 0, f"{part.name} ended with {code}")
            result.expect(time.monotonic() - began < grace + 15, f"{part.name} outstayed its grace")
            running = rig.rows(
                "SELECT id FROM $jobs WHERE status = 'running' AND lease_owner LIKE %s", f"%:{old.pid}:%"
            )
            result.expect(not running, f"{part.name} left running jobs: {running}")
            wait_for(lambda part=part, pid=old.pid: part.pid != pid, 10)
            rig.wait_until_ready(part)
        load.stop()
        # Those that never fit would only wait for their own end now.
        jobs = judge(rig, result, load.accepted, watch)
    for job_id, found in jobs.items():
        seconds = load.accepted[job_id]["extra_vars"]["seconds"]
        if seconds < grace / 2:
            result.expect(found["status"] == "successful", f"a short play ended as {found['status']}: {job_id}")
        else:
            result.expect(found["status"] in ("successful", "lost"), f"a long play is {found['status']}: {job_id}")
    return result
