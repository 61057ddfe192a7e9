"""Scenario: every message is published twenty times, also after the end and with attempts of long ago."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from celery import Celery

from ansible_api.celery import create_app, dispose
from ansible_api.dispatch import CeleryQueue
from ansible_api.routing import Queue, TaskName
from ansible_api.settings import Settings
from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge
from tests.faults.report import Result
from tests.waiting import wait_for

TIMES = 20


def repeats(rig: Installation, short: bool, _seed: int) -> Result:
    """Every message of a job, twenty times, from before its claim to long after its end."""
    result = Result("every message 20 times")
    urls = {name: rig.service.env[name.upper()] for name in ("database_url", "redis_url")}
    app = create_app(Settings(**urls, master_key="not needed", objects_dir=rig.folder))  # type: ignore[arg-type]
    sender = _Sender(rig, app, chords=4 if short else TIMES)  # an upload is work, twenty of each are a minute
    try:
        load = Load(rig, 2 if short else 20, lambda _: job(rig, seconds=1.0)).start()
        wait_for(lambda: load.accepted, 30)
        while not load.done:
            sender.send(list(load.accepted), times=1, chords=1)
            time.sleep(0.5)
        ids = list(load.accepted)
        sender.send(ids)
        jobs = judge(rig, result, load.accepted)
        before = {job_id: _row(rig, job_id) for job_id in ids}
        sender.send(ids)
        wait_for(lambda: _depth(app) == 0, 300, 0.2, message="the repeated messages were not taken")
        time.sleep(2)  # those taken last may still be at work
        again = Result("again")
        judge(rig, again, load.accepted)
        result.troubles += again.troubles
        result.double = max(result.double, again.double)
        result.duplicates = max(result.duplicates, again.duplicates)
        for job_id in ids:
            result.expect(_row(rig, job_id) == before[job_id], f"a repeated message changed {job_id}")
        statuses = {found["status"] for found in jobs.values()}
        result.expect(statuses == {"successful"}, f"jobs ended as {statuses}")
    finally:
        dispose(app)
    return result


@dataclass(frozen=True)
class _Sender:
    """Publishes what the service would, and what it would have long ago."""

    rig: Installation
    app: Celery
    chords: int

    def send(self, ids: Sequence[str], times: int = TIMES, chords: int | None = None) -> None:
        queue = CeleryQueue(self.app)
        hooks = self.rig.rows("SELECT id, job_id FROM $deliveries")
        for job_id in ids:
            for _ in range(times):
                for attempt in (0, 1, 2):
                    queue.enqueue(job_id, attempt=attempt, queue=Queue.DEFAULT, priority=5)
                    self._close(job_id, attempt)
                for hook in (hook for hook, of in hooks if of == job_id):
                    queue.deliver(hook)
            for number in range(self.chords if chords is None else chords):
                queue.close(job_id, attempt=number % 3)

    def _close(self, job_id: str, attempt: int) -> None:
        """A body of a chord, without its headers' outcomes."""
        name = TaskName.CLOSE_JOB.value
        self.app.send_task(name, args=([], job_id, attempt), queue=Queue.DELIVERY.value, ignore_result=True)


def _depth(app: Celery) -> int:
    queue = CeleryQueue(app)
    return sum(queue.depth(name) for name in (Queue.DEFAULT, Queue.DELIVERY))


def _row(rig: Installation, job_id: str) -> list[tuple]:
    columns = (
        "status, attempt, started_at, play_started_at, finished_at, closed_at, log_status, return_code, error_code"
    )
    hooks = "SELECT id, state, attempts, ended_at FROM $deliveries WHERE job_id = %s"
    return [*rig.rows(f"SELECT {columns} FROM $jobs WHERE id = %s", job_id), *rig.rows(hooks, job_id)]
