"""Scenario: Redis is killed, emptied and stopped under load."""

import time

from tests.faults.installation import Installation
from tests.faults.load import Answer, Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.waiting import wait_for

ACCEPT_LIMIT = 2.0
CONSUME_LIMIT = 60.0
QUEUES = ("default", "git-heavy", "dynamic-inventory", "long-running")


def redis_faults(rig: Installation, short: bool, _seed: int) -> Result:
    """Accepted within two seconds all the while; every queue consumes again within a minute; nothing is lost."""
    result = Result("Redis killed, emptied, stopped")
    kills, flushes, stop = (3, 1, 8.0) if short else (20, 3, 60.0)
    pause = 1.0 if short else 4.0
    with watching(rig) as watch, Load(rig, None, lambda _: job(rig), pause=0.5, in_flight=30) as load:
        wait_for(lambda: len(load.accepted) >= 2, 30)
        for _ in range(kills):
            rig.redis.process.kill()
            time.sleep(pause / 2)
            rig.redis.process.start()
            result.kills += 1
            time.sleep(pause)
        for _ in range(flushes):
            rig.redis.flush()
            time.sleep(pause)
        rig.redis.process.pause()
        time.sleep(stop)
        rig.redis.process.resume()
        _every_queue_consumes(rig, result, load)
        load.stop()
        judge(rig, result, load.accepted, watch)
    _all_accepted_in_time(result, load.answers)
    return result


def _every_queue_consumes(rig: Installation, result: Result, load: Load) -> None:
    """A job through each queue, once Redis is back."""
    began = time.monotonic()
    ids = {}
    for queue in QUEUES:
        spec = job(rig, seconds=0, queue=queue, priority=9)
        with rig.client() as client:
            answer = client.post("/api/v1/jobs", json=spec)
        assert answer.status_code == 202, answer.text
        ids[str(answer.json()["id"])] = queue
        load.accepted[str(answer.json()["id"])] = spec
    waiting = dict(ids)
    while waiting and time.monotonic() - began < CONSUME_LIMIT:
        started = {row[0] for row in rig.rows("SELECT id FROM $jobs WHERE started_at IS NOT NULL")}
        waiting = {job_id: queue for job_id, queue in waiting.items() if job_id not in started}
        time.sleep(0.2)
    result.expect(not waiting, f"not consumed within {CONSUME_LIMIT:g} s: {sorted(waiting.values())}")


def _all_accepted_in_time(result: Result, answers: list[Answer]) -> None:
    slow = [round(answer.seconds, 2) for answer in answers if answer.seconds > ACCEPT_LIMIT]
    result.expect(not slow, f"submissions took {slow} s")
    codes = {answer.status for answer in answers} - {200, 202}
    result.expect(not codes, f"submissions were answered {codes}")
