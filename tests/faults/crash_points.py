"""Scenario: a process ends at each step between submission and webhook, and what becomes of the job."""

import json
import time
from dataclasses import dataclass
from typing import Any

from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge, unsettled, watching
from tests.faults.report import Result
from tests.waiting import wait_for


@dataclass(frozen=True)
class Row:
    """One row of the failure table: where the process ends, and the outcome."""

    point: str
    who: str
    status: str
    starts: tuple[int, ...] = (1,)  # how often the play may have begun
    attempt: int = 1
    error: str | None = None
    posts: tuple[int, ...] = (1,)  # how often the receiver hears of it, always with one id
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.point} {dict(self.options)}" if self.options else self.point


RERUN = (("on_worker_loss", "rerun"),)
AGAIN = {"status": "successful", "attempt": 2}
LOST = {"status": "lost", "error": "worker_lost"}
# Points of one job's own process: they can be crossed side by side.
BY_JOB = (
    Row("claimed", "worker child", **AGAIN),
    Row("secrets-opened", "worker child", **AGAIN),
    Row("source-fetched", "worker child", **AGAIN),
    Row("inventory-gathered", "worker child", **AGAIN),
    Row("before-point-of-no-return", "worker child", **AGAIN),
    Row("after-point-of-no-return", "worker child", starts=(0,), **LOST),
    Row("after-point-of-no-return", "worker child", options=RERUN, **AGAIN),
    Row("play-started", "worker child", starts=(0, 1), **LOST),
    Row("play-started", "worker child", starts=(1, 2), options=RERUN, **AGAIN),
    Row("play-ended", "worker child", **LOST),
    Row("result-kept", "worker child", "successful"),
    Row("result-written", "worker child", "successful"),
)
AFTER_THE_END = (
    Row("before-upload", "worker child", "successful"),
    Row("after-upload", "worker child", "successful"),
    Row("before-close", "worker child", "successful"),
    Row("after-close", "worker child", "successful"),
    Row("before-webhook", "worker child", "successful"),
    Row("after-webhook", "worker child", "successful", posts=(2,)),
)
OF_ANYBODY = (
    Row("committed", "API", "successful"),
    Row("republish-marked", "worker", "successful"),
    Row("repaired-not-published", "worker", **AGAIN),
)
ROWS = (*BY_JOB, *AFTER_THE_END, *OF_ANYBODY)


def crash_points(rig: Installation, short: bool, _seed: int) -> Result:
    """Each outcome equals its row."""
    result = Result("a crash at each step")
    made: dict[str, Row] = {}
    load = Load(rig, None, lambda _: {})
    with watching(rig) as watch:
        # Two rows of one point would take each other's file.
        for row in [*BY_JOB, *AFTER_THE_END]:
            wait_for(lambda row=row: not (rig.armed / row.point).exists(), 60)
            made[_submit(rig, load, row)] = row
        result.troubles += [f"nobody crossed {row.name}" for row in made.values() if not _gone(rig, row.point)]
        for row in OF_ANYBODY:  # these end processes that run others' jobs, too: one after the other
            wait_for(lambda: not unsettled(rig, load.accepted), 120, 0.2, "jobs have not settled")
            made[_of_anybody(rig, load, row)] = row
            result.expect(_gone(rig, row.point), f"nobody crossed {row.name}")
        jobs = judge(rig, result, load.accepted, watch, tidy=False)
    result.kills = len(made)
    for job_id, row in made.items():
        _compare(rig, result, row, jobs[job_id])
    return result


def _submit(rig: Installation, load: Load, row: Row) -> str:
    late = row in AFTER_THE_END
    if not late:
        rig.arm(row.point, "label")
    spec = job(rig, seconds=1.0 if late else 0.2, labels={"point": row.point}, **dict(row.options))
    job_id = load.submit(spec)
    assert job_id is not None
    if late:  # it plays for a second: there is time
        rig.arm(row.point, job_id)
    return job_id


def _of_anybody(rig: Installation, load: Load, row: Row) -> str:
    """These points end a process that others need, too: one at a time."""
    label = {}
    match row.point:
        case "committed":
            rig.arm("committed", "*")
        case "republish-marked":  # an API that ends after its commit has told nobody
            rig.arm("republish-marked", "*")
            rig.arm("committed", "*")
        case "repaired-not-published":
            rig.arm("claimed", "label")
            rig.arm("repaired-not-published", "*")
            label = {"point": "claimed"}
    job_id = load.submit(job(rig, seconds=0.2, labels=label))
    assert job_id is not None
    return job_id


def _gone(rig: Installation, point: str) -> bool:
    end = time.monotonic() + 90
    while (rig.armed / point).exists():
        if time.monotonic() > end:
            (rig.armed / point).unlink(missing_ok=True)
            return False
        time.sleep(0.1)
    return True


def _compare(rig: Installation, result: Result, row: Row, found: dict[str, Any]) -> None:
    job_id = found["id"]
    starts = len(rig.ledger.of(job_id, "start"))
    posts = [request for request in rig.sink.requests if json.loads(request.body)["id"] == job_id]
    error = (found["error"] or {}).get("code")
    outcome = (found["status"], found["attempt"], error)
    result.expect(outcome == (row.status, row.attempt, row.error), f"{row.name}: {outcome}")
    result.expect(starts in row.starts, f"{row.name}: {starts} starts")
    result.expect(len(posts) in row.posts, f"{row.name}: {len(posts)} webhooks")
