"""Events of one play through publisher, stream and server-sent events, and what Redis holds of a 200 MB log."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from redis import Redis
from tests.acceptance.repos import HELLO, make_repo
from tests.acceptance.service import local_job

from ansible_api.db import Database, now_plus
from ansible_api.events import keys
from ansible_api.jobs import store
from ansible_api.jobs.state import Phase
from ansible_api.redis import client as redis_client
from bench.figures import Figure
from bench.installations import Servers, on_servers

COUNT = 1_000_000  # events of 200 bytes of text
RATE_GOAL, MEMORY_GOAL = 10_000, 8  # events/s, MiB
PUBLISHER = Path(__file__).with_name("publishing.py")


def measure(folder: Path) -> list[Figure]:
    with on_servers(folder / "servers") as servers:
        servers.service.start_api()
        job_id = _playing_job(servers, folder)
        with _watched(servers, job_id) as largest, servers.installation.client() as client:
            publisher = _publish(servers, folder, job_id)
            started = time.perf_counter()
            size = _follow(client, job_id)
            seconds = time.perf_counter() - started
            said = json.loads(publisher.communicate(timeout=60)[0])
            reader = sum(_processor_time(pid) for pid in servers.installation.pids("api"))
    rate, held = COUNT / seconds, largest[0] / 2**20
    how_fast = (
        f"{COUNT:,} events, {size / 2**20:.0f} MiB of frames, from the first read to the last; "
        f"publisher: {said['cpu'] / COUNT * 1e6:.0f} µs of processor time an event, {said['mib']:.0f} MiB; "
        f"API: {reader / COUNT * 1e6:.0f} µs"
    )
    return [
        Figure("events through to SSE", f"{rate:,.0f} /s", f"≥ {RATE_GOAL:,} /s", rate >= RATE_GOAL, how_fast),
        Figure(
            "Redis for a 200 MB log",
            f"{held:.1f} MiB",
            f"< {MEMORY_GOAL} MiB",
            held < MEMORY_GOAL,
            "largest MEMORY USAGE of the job's stream, looked at ten times a second",
        ),
    ]


def _playing_job(servers: Servers, folder: Path) -> str:
    """A job that plays, as far as the row tells."""
    job_id = servers.service.submit(local_job(make_repo(folder / "repo", {"site.yml": HELLO})))
    database = Database(servers.service.env["DATABASE_URL"])
    try:
        job = database.write(store.claim, job_id, "bench", 3600.0)
        assert job is not None
        fence = store.Fence(job_id, job.attempt, "bench")
        database.write(store.write_running, fence, play_started_at=now_plus(), phase=Phase.PLAYING)
    finally:
        database.close()
    return job_id


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _publish(servers: Servers, folder: Path, job_id: str) -> "subprocess.Popen[bytes]":
    env = servers.service.env
    order = {"redis": env["REDIS_URL"], "objects": env["OBJECTS_DIR"], "job": job_id, "count": COUNT}
    process = subprocess.Popen([sys.executable, str(PUBLISHER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(order | {"spool": str(folder / "spool")}).encode())
    process.stdin.close()
    process.stdin = None
    return process


def _follow(client: httpx.Client, job_id: str) -> int:
    """Read frames until the last event; how many bytes came."""
    last, size, rest = b"id: %d\n" % COUNT, 0, b""
    with client.stream("GET", f"/api/v1/jobs/{job_id}/stream") as answer:
        for chunk in answer.iter_raw():
            size += len(chunk)
            if last in rest + chunk:
                return size
            rest = chunk[-32:]
    raise RuntimeError("the stream ended before its last event")


@contextmanager
def _watched(servers: Servers, job_id: str) -> Iterator[list[int]]:
    """The largest size of the job's stream meanwhile."""
    largest, over = [0], threading.Event()

    def look(redis: "Redis") -> None:
        while not over.wait(0.1):
            largest[0] = max(largest[0], redis.memory_usage(keys.stream(job_id, 1), samples=0) or 0)

    with redis_client(servers.redis.url) as redis, ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look, redis)
        try:
            yield largest
        finally:
            over.set()
            looking.result()  # else what it could not do would not be seen
