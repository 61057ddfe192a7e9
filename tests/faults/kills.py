"""Scenario: workers, their children and APIs are killed at random while jobs run."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.installation import Installation, installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result


@dataclass(frozen=True)
class KillPlan:
    """How many SIGKILLs, between which pauses, over how many jobs."""

    kills: int
    jobs: int
    pauses: tuple[float, float]


LONG = KillPlan(kills=334, jobs=500, pauses=(1.0, 4.0))  # of one seed; three of them make 1,000
SHORT = KillPlan(kills=60, jobs=40, pauses=(0.2, 1.0))


def kill_loop(folder: Path, plan: KillPlan, seed: int) -> Result:
    """An installation of its own, so that seeds can run side by side."""
    with installation(folder) as rig:
        return kill_loop_in(rig, plan, seed)


def kill_loop_in(rig: Installation, plan: KillPlan, seed: int) -> Result:
    """Kill at random until all kills are done and all jobs accepted, then let the rest end."""
    dice = random.Random(seed)
    result = Result("kill loop")
    mixed = random.Random(seed + 1)
    with watching(rig) as watch:
        load = Load(rig, plan.jobs, lambda _: _some_job(rig, mixed)).start()
        while result.kills < plan.kills:
            time.sleep(dice.uniform(*plan.pauses))
            result.kills += rig.kill(_victim(rig, dice))
        load.join()
        judge(rig, result, load.accepted, watch)
    codes = {answer.status for answer in load.answers} - {200, 202}
    result.expect(not codes, f"submissions were answered {codes}")
    return result


def _victim(rig: Installation, dice: random.Random) -> int:
    """A worker, a process below one, or an API; each kind as likely as the others."""
    while True:
        kind = dice.choice(("worker", "child", "api"))
        part = dice.choice(rig.apis() if kind == "api" else rig.workers())
        candidates = part.children() if kind == "child" else [part.pid] if part.running else []
        if candidates:
            return dice.choice(candidates)
        time.sleep(0.05)


def _some_job(rig: Installation, dice: random.Random) -> dict[str, object]:
    options = {"on_worker_loss": "rerun"} if dice.random() < 0.25 else {}
    return job(rig, seconds=round(dice.uniform(0.0, 1.0), 2), code=int(dice.random() < 0.1), **options)
