"""The judge outside the service: what was accepted, what really played, what reached the receiver and the store."""

import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from ansible_api.events.keys import is_product
from tests.acceptance.service import TERMINAL
from tests.faults.installation import LEASE, STUCK_LIMIT, Installation
from tests.faults.report import Result
from tests.waiting import wait_for

LIMIT = 300.0  # seconds in which everything that was accepted must have ended, on a machine that has much to do


@dataclass
class Watch:
    """Sees how long jobs stay `running` although the process that ran them is dead."""

    rig: Installation
    longest: float = 0.0
    what: str = ""
    _dead_since: dict[tuple[str, int], float] = field(default_factory=dict)
    _up_since: dict[int, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(0.5):
            try:
                self._look()
            except Exception:  # noqa: BLE001 - the database may be what is down: nobody can repair anything meanwhile
                self._dead_since = {}
                self._up_since = {}

    def _look(self) -> None:
        running = self.rig.rows("SELECT id, attempt, lease_owner FROM $jobs WHERE status = 'running'")
        now = time.monotonic()
        somebody = self._somebody_could_repair(now)
        seen = {}
        for job, attempt, owner in running:
            if somebody and owner and not _alive(int(owner.rpartition("/")[2])):
                seen[(job, attempt)] = self._dead_since.get((job, attempt), now)
                if now - seen[(job, attempt)] > self.longest:
                    self.longest, self.what = now - seen[(job, attempt)], f"{job}.{attempt}"
        self._dead_since = seen

    def _somebody_could_repair(self, now: float) -> bool:
        """A worker ends no lease before it has seen the database for a whole one; time before that does not count."""
        ready = [part.pid for part in self.rig.workers() if self.rig.is_ready(part)]
        self._up_since = {pid: self._up_since.get(pid, now) for pid in ready}
        return any(now - since > LEASE for since in self._up_since.values())

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def watching(rig: Installation) -> Iterator[Watch]:
    watch = Watch(rig)
    thread = threading.Thread(target=watch.run, name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def judge(
    rig: Installation,
    result: Result,
    accepted: Mapping[str, dict[str, Any]],
    watch: Watch | None = None,
    *,
    tidy: bool = True,
) -> dict[str, dict[str, Any]]:
    """Wait until everything that was accepted has ended, then hold the promises against it; the jobs as answered.

    `tidy`: nobody was killed between storing a log and deleting what it holds, so that nothing else may be left.
    """
    ids = list(accepted)
    with suppress(AssertionError):  # what has not ended by then is counted below
        wait_for(lambda: not unsettled(rig, ids), LIMIT, interval=0.5)
    jobs = _answered(rig, ids)
    result.jobs += len(ids)
    _lost(result, jobs, ids)
    played_at_most_once(rig, result, accepted, jobs)
    told_once(rig, result, jobs)
    _objects(rig, result, jobs)
    if tidy:
        _nothing_is_left(rig, result, jobs)
    if watch is not None:
        result.stuck = max(result.stuck, watch.longest)
        result.expect(
            watch.longest <= STUCK_LIMIT, f"{watch.what} stood still for {watch.longest:.1f} s after its worker's death"
        )
    return jobs


def unsettled(rig: Installation, ids: Iterable[str]) -> list[str]:
    """Jobs that have not ended, are not closed, or whose webhook is still on its way."""
    wanted = set(ids)
    try:
        open_jobs = rig.rows("SELECT id FROM $jobs WHERE finished_at IS NULL OR closed_at IS NULL")
        open_hooks = rig.rows("SELECT job_id FROM $deliveries WHERE state IN ('waiting', 'pending')")
    except Exception as error:  # noqa: BLE001 - the database may be restarting
        return [str(error)]
    return [job for (job,) in [*open_jobs, *open_hooks] if job in wanted]


def _answered(rig: Installation, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    part = rig.apis()[0]
    rig.wait_until_ready(part)
    found = {}
    with rig.client(part) as client:
        for job_id in ids:
            answer = client.get(f"/api/v1/jobs/{job_id}")
            found[job_id] = answer.json() if answer.status_code == 200 else {"status": f"HTTP {answer.status_code}"}
    return found


def _lost(result: Result, jobs: Mapping[str, dict[str, Any]], ids: Iterable[str]) -> None:
    gone = [f"{job_id}: {jobs[job_id]['status']}" for job_id in ids if jobs[job_id]["status"] not in TERMINAL]
    result.lost += len(gone)
    result.troubles += [f"accepted and never ended: {job}" for job in gone]


def played_at_most_once(
    rig: Installation, result: Result, accepted: Mapping[str, dict[str, Any]], jobs: Mapping[str, dict[str, Any]]
) -> None:
    notes = rig.ledger.by_job()
    for job_id, spec in accepted.items():
        starts = [entry for entry in notes[job_id] if entry.event == "start"]
        ends = [entry for entry in notes[job_id] if entry.event == "end"]
        most = max(Counter(entry.attempt for entry in starts).values(), default=0)
        reruns = spec["options"].get("on_worker_loss") == "rerun"
        overlap = [entry for entry in starts if entry.survivors]
        if most > 1 or overlap or (len(starts) > 1 and not reruns):
            result.double += 1
            result.troubles.append(f"played more than once: {job_id}: {starts}")
        if jobs[job_id]["status"] == "successful" and not ends:
            result.troubles.append(f"successful, but its play never ended: {job_id}")


def told_once(rig: Installation, result: Result, jobs: Mapping[str, dict[str, Any]]) -> None:
    ids: dict[str, Counter[str]] = defaultdict(Counter)
    for request in list(rig.sink.requests):
        body = json.loads(request.body)
        if body["id"] in jobs:
            ids[body["id"]][request.headers["webhook-id"]] += 1
            result.expect(body["status"] in TERMINAL, f"a webhook before the end: {body['id']}")
            result.expect(body["status"] == jobs[body["id"]]["status"], f"a webhook tells another status: {body['id']}")
    result.sent += sum(sum(counts.values()) for counts in ids.values())
    result.received += sum(1 for counts in ids.values() if counts)
    result.duplicates += sum(1 for counts in ids.values() if len(counts) > 1)
    for job_id, job in jobs.items():
        if job["status"] in TERMINAL and not ids[job_id]:
            result.troubles.append(f"no webhook: {job_id} ({job['status']})")


def _objects(rig: Installation, result: Result, jobs: Mapping[str, dict[str, Any]]) -> None:
    """Every row names an object that is there, each once."""
    stored = _keys(rig)
    rows = rig.rows("SELECT job_id, attempt, kind, `key`, size FROM $job_objects")
    named = {key: size for job, _, _, key, size in rows if job in jobs}
    result.expect(len(named) == len([row for row in rows if row[0] in jobs]), "two products have one object")
    for key, size in named.items():
        result.expect(stored.get(key) == size, f"the store has not what a row says: {key}")
    kinds = Counter((job, kind) for job, _, kind, _, _ in rows)
    for job_id, job in jobs.items():
        if job.get("log_status") == "stored" and job["attempt"]:
            whole = kinds[job_id, "log"] == 1 and kinds[job_id, "events"] == 1
            result.expect(whole, f"not one log and one list of events: {job_id}")


def _nothing_is_left(rig: Installation, result: Result, jobs: Mapping[str, dict[str, Any]]) -> None:
    """Of a stored log no segment, no partial product, nothing of an earlier attempt."""
    stored = {job_id: job["attempt"] for job_id, job in jobs.items() if job.get("log_status") == "stored"}

    def left() -> list[str]:
        named = [(key, key.split("/")[1]) for key in _keys(rig) if key.startswith("jobs/")]
        return [key for key, job_id in named if job_id in stored and not is_product(key, job_id, stored[job_id])]

    with suppress(AssertionError):  # told below
        wait_for(lambda: not left(), 15, interval=1)
    result.troubles += [f"left in the store: {key}" for key in left()]


def _keys(rig: Installation) -> dict[str, int]:
    client = boto3.client(
        "s3",
        endpoint_url=rig.bucket.endpoint_url,
        region_name=rig.bucket.region,
        aws_access_key_id=rig.bucket.access_key_id,
        aws_secret_access_key=rig.bucket.secret_access_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=rig.bucket.name)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
    finally:
        client.close()


def _alive(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    return os.path.exists(f"/proc/{pid}")  # noqa: PTH110
