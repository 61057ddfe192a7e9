"""How many submissions two API processes accept, and how fast, with MariaDB and Redis; no worker runs."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.service import local_job
from tests.servers.processes import answers, free_port
from tests.waiting import wait_for

from bench.figures import Figure, percentile
from bench.installations import Servers, on_servers
from bench.processor import seconds_of

CLIENTS, WARM_UP, COUNT = 50, 500, 3000
RATE_GOAL, P99_GOAL = 200, 0.1


def measure(folder: Path) -> list[Figure]:
    with on_servers(folder) as servers:
        ports = [servers.service.port, free_port()]
        servers.service.start_api()
        servers.service.start("api2", "api", "--port", str(ports[1]))
        wait_for(lambda: answers(("127.0.0.1", ports[1]), b"200 OK", say=b"GET /ready HTTP/1.0\r\n\r\n"), 30)
        load(servers, ports, WARM_UP)
        steady, shares = _with_shares(servers, ports, COUNT, rate=RATE_GOAL)
        flat_out, busy = _with_shares(servers, ports, COUNT)
    return [
        _rate(flat_out, busy),
        _p99("p99 of submissions at 200/s, 50 clients", steady, f"arriving at fixed times; cores used: {shares}"),
        _p99("p99 of submissions flat out, 50 clients", flat_out, "each client asks again at once"),
    ]


def load(servers: Servers, ports: list[int], count: int, rate: float | None = None) -> dict[str, Any]:
    """Submit so many jobs to these ports, at a rate or flat out; how it went."""
    request = local_job(Path("/srv/playbooks"), options={"timeout": 600})
    head = ["POST /api/v1/jobs HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {servers.service.key}"]
    order = {
        "ports": ports,
        "head": "\r\n".join([*head, "Content-Type: application/json"]),
        "body": json.dumps(request),
        "clients": CLIENTS,
        "count": count,
        "rate": rate,
    }
    argv = [sys.executable, "-m", "bench.load"]
    done = subprocess.run(argv, input=json.dumps(order), capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    if result["statuses"] != {"202": count}:
        raise RuntimeError(f"not all were accepted: {result['statuses']}")
    return result


def _with_shares(
    servers: Servers, ports: list[int], count: int, rate: float | None = None
) -> tuple[dict[str, Any], str]:
    """The result of a load, and how many cores each part used meanwhile."""
    parts = {
        "2 API": servers.installation.pids("api"),
        "MariaDB": [servers.mariadb.process.pid],
        "Redis": [servers.redis.process.pid],
    }
    before = {name: seconds_of(*pids) for name, pids in parts.items()}
    result = load(servers, ports, count, rate)
    used = {"client": result["cpu"], **{name: seconds_of(*pids) - before[name] for name, pids in parts.items()}}
    return result, _told(used, result["seconds"])


def _told(used: Mapping[str, float], seconds: float) -> str:
    return ", ".join(f"{name} {cpu / seconds:.2f}" for name, cpu in used.items())


def _rate(result: Mapping[str, Any], shares: str) -> Figure:
    rate = len(result["latencies"]) / result["seconds"]
    how = (
        f"{COUNT} submissions, MariaDB and Redis, 2 API processes, {CLIENTS} clients, no worker; "
        f"cores used of {os.cpu_count()}: {shares}"
    )
    return Figure("accepted submissions, flat out", f"{rate:.0f}/s", f"≥ {RATE_GOAL}/s", rate >= RATE_GOAL, how)


def _p99(name: str, result: Mapping[str, Any], how: str) -> Figure:
    p50, p99 = (percentile(result["latencies"], share) for share in (0.5, 0.99))
    how = f"{COUNT} submissions as above, {how}; median {1000 * p50:.0f} ms"
    return Figure(name, f"{1000 * p99:.0f} ms", f"< {1000 * P99_GOAL:.0f} ms", p99 < P99_GOAL, how)
