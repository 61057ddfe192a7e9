"""Scenario: the broker thinks that a message is lost long before its job has ended."""

from tests.faults import crashing
from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge
from tests.faults.report import Result


def visibility(rig: Installation, short: bool, _seed: int) -> Result:
    """A visibility timeout of five seconds below plays that take much longer: one start each."""
    result = Result("visibility timeout of 5 s")
    part = rig.add_worker("impatient", env={crashing.VISIBILITY: "5"})
    try:
        rig.wait_until_ready(part)
        load = Load(rig, None, lambda _: {})
        for _ in range(3):  # some on the impatient worker itself
            load.submit(job(rig, seconds=20.0 if short else 60.0))
        jobs = judge(rig, result, load.accepted)
        statuses = {found["status"] for found in jobs.values()}
        result.expect(statuses == {"successful"}, f"jobs ended as {statuses}")
    finally:
        rig.remove(part)
    return result
