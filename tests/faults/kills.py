"""Scenario: workers, their children and APIs are killed at random while jobs run."""

import random
import time
from dataclasses import dataclass

from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result


@dataclass(frozen=True)
class KillPlan:
    """How many SIGKILLs, between which pauses, over how many jobs."""

    kills: int
    jobs: int
    pauses: tuple[float, float]


LONG = KillPlan(kills=334, jobs=167, pauses=(1.0, 4.0))  # of one seed; three make 1,000 kills and 500 jobs
SHORT = KillPlan(kills=60, jobs=30, pauses=(0.5, 1.8))


def kill_loop(rig: Installation, short: bool, seed: int) -> Result:
    """Kill at random until all kills are done and all jobs accepted, then let the rest end."""
    plan = SHORT if short else LONG
    dice = random.Random(seed)
    result = Result("kill loop")
    mixed = random.Random(seed + 1)
    with watching(rig) as watch:
        load = Load(rig, plan.jobs, lambda _: _some_job(rig, mixed)).start()
        while result.kills < plan.kills:
            time.sleep(dice.uniform(*plan.pauses))
            result.kills += rig.kill(_victim(rig, dice))
        load.join()
        judge(rig, result, load.accepted, watch, tidy=False)
    codes = {answer.status for answer in load.answers} - {200, 202}
    result.expect(not codes, f"submissions were answered {codes}")
    return result


def _victim(rig: Installation, dice: random.Random) -> int:
    """A worker, a process below one, or an API: whichever takes work by now, or nothing would ever be repaired."""
    while True:
        kind = dice.choice(("worker", "child", "child", "api"))
        part = dice.choice(
            [part for part in (rig.apis() if kind == "api" else rig.workers()) if rig.is_ready(part)] or [None]
        )
        candidates = [] if part is None else part.children() if kind == "child" else [part.pid]
        if candidates:
            return dice.choice(candidates)
        time.sleep(0.05)


def _some_job(rig: Installation, dice: random.Random) -> dict[str, object]:
    options = {"on_worker_loss": "rerun"} if dice.random() < 0.25 else {}
    return job(rig, seconds=round(dice.uniform(0.0, 1.0), 2), code=int(dice.random() < 0.1), **options)
