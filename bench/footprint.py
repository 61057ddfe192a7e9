"""What a job, a second of its play and a round of upkeep cost each part in processor time, and what a job leaves."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from redis import Redis
from tests.acceptance.repos import HELLO, make_repo, play
from tests.acceptance.service import local_job
from tests.waiting import wait_for

from ansible_api.routing import JOB_QUEUES, Queue
from bench.figures import Figure
from bench.installations import Servers, on_servers, wait_until_closed
from bench.processor import seconds_of

PARTS = ("api", "worker", "mariadb", "redis")
UPKEEP_INTERVAL, WORKERS = 0.5, 2
IDLE, PLAYING = 20.0, 20.0  # seconds of watching
SLOTS, JOBS = 8, 64
SLEEP = play("""
- name: Sleep
  command: sleep 60
""")
Cost = Mapping[str, float]  # of each part, in seconds of processor time


@dataclass(frozen=True)
class Footprint:
    """Costs by part; bytes that a job with a short log keeps in Redis for an hour, and in the object store."""

    job: Cost
    playing: Cost  # a second of a play in which nothing happens
    upkeep: Cost  # a round of one worker
    redis_bytes: float
    object_bytes: float


def measure(folder: Path) -> list[Figure]:
    seen = footprint(folder)
    return [
        _figure(
            "a job from submission to closing, without Ansible", seen.job, f"{JOBS} one-task jobs, {SLOTS} at once"
        ),
        _figure("a second of a play", seen.playing, f"{SLOTS} plays that sleep, for {PLAYING:.0f} s"),
        _figure("a round of upkeep with nothing to do", seen.upkeep, f"each {UPKEEP_INTERVAL} s, for {IDLE:.0f} s"),
        Figure(
            "what a one-task job leaves",
            f"{seen.redis_bytes / 1024:.1f} KiB in Redis, {seen.object_bytes / 1024:.1f} KiB of objects",
            "",
            None,
            "in Redis for an hour, compressed objects as long as logs are kept",
        ),
    ]


def _figure(name: str, cost: Cost, how: str) -> Figure:
    told = ", ".join(f"{part} {1000 * cost[part]:.2f}" for part in PARTS)
    return Figure(f"processor time of {name}", f"{1000 * sum(cost.values()):.1f} ms", "", None, f"{how}; ms: {told}")


def footprint(folder: Path) -> Footprint:
    """Watch an installation idle, while plays sleep, and while it runs jobs."""
    repo = make_repo(folder / "repo", {"site.yml": HELLO, "sleep.yml": SLEEP})
    with on_servers(folder / "servers", UPKEEP_INTERVAL=str(UPKEEP_INTERVAL)) as servers:
        servers.service.start_api()
        servers.service.start_worker(*(queue.value for queue in JOB_QUEUES), name="jobs", concurrency=SLOTS)
        servers.service.start_worker(Queue.DELIVERY.value, name="delivery", concurrency=2)
        with servers.installation.client() as client:
            _run(client, local_job(repo), SLOTS)  # warm
            idle = _over(_watched(servers, IDLE), IDLE)
            for job_id in (sleeping := [_submit(client, local_job(repo, "sleep.yml")) for _ in range(SLOTS)]):
                wait_for(lambda job_id=job_id: _job(client, job_id)["phase"] == "playing", 60)
            playing = _over(_less(_watched(servers, PLAYING), idle, PLAYING), SLOTS * PLAYING)
            for job_id in sleeping:
                client.delete(f"/api/v1/jobs/{job_id}")
                wait_until_closed(client, _job(client, job_id))
            before, kept, began = _used(servers), _left(servers), time.monotonic()
            _run(client, local_job(repo), JOBS)
            seconds = time.monotonic() - began
            job = _over(_less(_difference(_used(servers), before), idle, seconds), JOBS)
            left = [(now - was) / JOBS for now, was in zip(_left(servers), kept, strict=True)]
    return Footprint(job, playing, _over(idle, WORKERS / UPKEEP_INTERVAL), *left)


def _run(client: httpx.Client, request: Mapping[str, Any], count: int) -> None:
    for job_id in [_submit(client, request) for _ in range(count)]:
        wait_for(lambda job_id=job_id: _job(client, job_id)["log_status"] != "pending", 120, interval=1)
        if (job := _job(client, job_id))["status"] != "successful":
            raise RuntimeError(f"the job did not succeed: {job}")


def _submit(client: httpx.Client, request: Mapping[str, Any]) -> str:
    return str(client.post("/api/v1/jobs", json=request).raise_for_status().json()["id"])


def _job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}").json()
    return job


def _used(servers: Servers) -> Counter[str]:
    """Seconds of processor time of each part so far, of workers without their plays."""
    there = servers.installation
    pids = {
        "api": there.pids("api"),
        "worker": there.pids("worker"),
        "mariadb": [servers.mariadb.process.pid],
        "redis": [servers.redis.process.pid],
    }
    return Counter({part: seconds_of(*some) for part, some in pids.items()})


def _watched(servers: Servers, seconds: float) -> Counter[str]:
    before = _used(servers)
    time.sleep(seconds)
    return _difference(_used(servers), before)


def _difference(after: Cost, before: Cost) -> Counter[str]:
    return Counter({part: after[part] - before[part] for part in PARTS})


def _less(cost: Cost, idle: Cost, seconds: float) -> Counter[str]:
    """What was used beyond what an idle installation uses in that time."""
    return Counter({part: max(0.0, cost[part] - idle[part] * seconds) for part in PARTS})


def _over(cost: Cost, by: float) -> Counter[str]:
    return Counter({part: cost[part] / by for part in PARTS})


def _left(servers: Servers) -> tuple[float, float]:
    """Bytes in Redis and in the object store."""
    with Redis.from_url(servers.redis.url) as connection:
        memory = float(connection.info("memory")["used_memory"])  # type: ignore[index]
    objects = Path(servers.service.env["OBJECTS_DIR"])
    return memory, sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())
