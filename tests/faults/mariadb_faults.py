"""Scenario: MariaDB is killed while it commits; plays go on meanwhile."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import httpx

from tests.faults.installation import Installation
from tests.faults.load import Answer, Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.waiting import wait_for


def mariadb_faults(rig: Installation, short: bool, seed: int) -> Result:
    """What was accepted exists; refusals are 503 with Retry-After; plays that ran end as they would have."""
    result = Result("MariaDB killed during commits")
    dice = random.Random(seed)
    answers: list[Answer] = []
    kills = 3 if short else 20
    outage = (0.5, 2.0) if short else (0.5, 8.0)
    with watching(rig) as watch, ExitStack() as stack:
        first = stack.enter_context(
            Load(rig, None, lambda _: job(rig, seconds=2.0), pause=0, in_flight=8 if short else 24)
        )
        wait_for(lambda: any(rig.ledger.of(job_id, "start") for job_id in list(first.accepted)), 60)
        loads = [
            first,
            *(replace(first, answers=[]) for _ in range(3)),
        ]  # more callers: there is always one that commits
        for load in loads[1:]:
            stack.enter_context(load)
        with _reading(rig, answers):
            for _ in range(kills):
                time.sleep(dice.uniform(1.0, 2.0) if short else dice.uniform(2.0, 5.0))
                rig.mariadb.process.kill()
                result.kills += 1
                time.sleep(dice.uniform(*outage))
                rig.mariadb.process.start()
        for load in loads:
            load.stop()
        jobs = judge(rig, result, first.accepted, watch)
        answers += [answer for load in loads for answer in load.answers]
    for answer in answers:
        refused = answer.status == 503 and answer.retry_after
        result.expect(
            answer.status < 300 or refused, f"{answer.status}, Retry-After {answer.retry_after}: {answer.body}"
        )
    # No worker died: whatever began to play must have come to its own end.
    wrong = {job_id: found["status"] for job_id, found in jobs.items() if found["status"] != "successful"}
    result.expect(not wrong, f"jobs that did not end well: {wrong}")
    return result


@contextmanager
def _reading(rig: Installation, answers: list[Answer]) -> Iterator[None]:
    """Somebody reads all the while, through every API."""
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.05):
            with suppress(httpx.HTTPError), rig.client() as client:
                began = time.monotonic()
                answer = client.get("/api/v1/jobs?limit=5")
                text = "" if answer.is_success else answer.text
                spent = time.monotonic() - began
                answers.append(Answer(answer.status_code, spent, answer.headers.get("Retry-After"), text))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
