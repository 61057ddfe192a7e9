"""Scenario: the object store is down, slow, and back; a chord's count is lost."""

import json
import time
from contextlib import suppress

from redis import Redis

from ansible_api.redis import RESULT_DB, with_db
from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.waiting import wait_for

HOOK_LIMIT = 15.0  # WEBHOOK_HOLD and a busy machine


def store_faults(rig: Installation, short: bool, _seed: int) -> Result:
    """Status and webhook wait for nothing of it, and no attempt has two logs."""
    result = Result("object store down, slow; chord lost")
    load = Load(rig, None, lambda _: {})
    sender = rig.add_worker("sender", queues=("delivery",))  # plays keep the others busy
    rig.wait_until_ready(sender)
    count = 2 if short else 20
    with watching(rig) as watch:
        rig.s3.process.kill()
        result.kills += 1
        down = _submit(rig, load, count)
        _told_in_time(rig, result, down)
        rig.s3.process.start()
        slow = _submit(rig, load, count, seconds=1.0)
        wait_for(lambda: all(rig.ledger.of(job_id, "end") for job_id in slow), 120)
        rig.s3.process.pause()
        time.sleep(4.0 if short else 30.0)
        rig.s3.process.resume()
        lost = _submit(rig, load, count, seconds=1.0)
        _forget_chords_of(rig, lost)
        jobs = judge(rig, result, load.accepted, watch)
    rig.remove(sender)
    statuses = {found["status"] for found in jobs.values()}
    result.expect(statuses == {"successful"}, f"jobs ended as {statuses}")
    kept = {job_id: jobs[job_id]["log_status"] for job_id in [*slow, *lost]}
    result.expect(set(kept.values()) <= {"stored"}, f"logs after a slow store and a lost chord: {kept}")
    return result


def _submit(rig: Installation, load: Load, count: int, seconds: float = 0.2) -> list[str]:
    return [str(load.submit(job(rig, seconds=seconds))) for _ in range(count)]


def _told_in_time(rig: Installation, result: Result, ids: list[str]) -> None:
    """The receiver hears of each end while there is no store."""
    ended: dict[str, float] = {}
    told: set[str] = set()
    limit = time.monotonic() + 180
    while len(told) < len(ids) and time.monotonic() < limit:
        for (job_id,) in rig.rows("SELECT id FROM $jobs WHERE finished_at IS NOT NULL"):
            ended.setdefault(job_id, time.monotonic())
        told = {body["id"] for body in (json.loads(request.body) for request in list(rig.sink.requests))} & set(ids)
        late = [job_id for job_id in set(ids) - told if time.monotonic() - ended.get(job_id, limit) > HOOK_LIMIT]
        if late:
            result.expect(False, f"no webhook within {HOOK_LIMIT:g} s while the store is down: {late}")
            return
        time.sleep(0.2)
    result.expect(len(told) == len(ids), "jobs did not end while the store is down")


def _forget_chords_of(rig: Installation, ids: list[str]) -> None:
    """Delete whatever counts the headers of chords, until those jobs are closed or have waited for a while."""
    with Redis.from_url(with_db(rig.redis.url, RESULT_DB)) as counts:
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            with suppress(Exception):
                counts.flushdb()
            ended = rig.rows("SELECT id FROM $jobs WHERE finished_at < UTC_TIMESTAMP(6) - INTERVAL 3 SECOND")
            if set(ids) <= {job_id for (job_id,) in ended}:
                return
            time.sleep(0.02)
