"""Scenario: jobs that kill whoever prepares them, and inventories that nobody can read."""

from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result


def poison(rig: Installation, short: bool, _seed: int) -> Result:
    """At most three attempts each, no hot loop, and others are served."""
    result = Result("poison jobs")
    load = Load(rig, None, lambda _: {})
    count = 2 if short else 10
    rig.arm("inventory-gathered.always", "label")
    try:
        with watching(rig) as watch:
            killers, broken, others = [], [], []
            for _ in range(count):
                killers.append(load.submit(job(rig, labels={"point": "inventory-gathered"})))
                spec = job(rig)
                spec["inventory"] = {"type": "git", "repo": str(rig.repo), "path": "broken.yml"}
                broken.append(load.submit(spec))
                others += [load.submit(job(rig)) for _ in range(3)]
            jobs = judge(rig, result, load.accepted, watch)
    finally:
        (rig.armed / "inventory-gathered.always").unlink()
    for job_id in killers:
        found = jobs[str(job_id)]
        outcome = (found["status"], found["error"] and found["error"]["code"], found["attempt"])
        result.kills += found["attempt"]
        result.expect(outcome == ("error", "worker_lost", 3), f"a job that kills its worker: {outcome}")
    for job_id in broken:
        found = jobs[str(job_id)]
        result.expect((found["status"], found["attempt"]) == ("error", 1), f"a broken inventory: {found}")
    for job_id in others:
        result.expect(jobs[str(job_id)]["status"] == "successful", f"another job: {jobs[str(job_id)]['status']}")
    return result
