"""How long after a task has finished in Ansible its event is with a client of the stream."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.repos import HELLO, make_repo, play
from tests.acceptance.service import local_job

from bench.figures import Figure, median, percentile
from bench.installations import Installation, embedded, on_servers, run

TASKS = 40
GOAL = 0.1
# The task tells the time by itself, in the process that runs it and as the last thing it does.
TOLD = """
- name: Work
  command: sleep 0.05
- name: Told
  debug:
    msg: "{{ now(utc=true).timestamp() }}"
"""


def measure(folder: Path) -> list[Figure]:
    repo = make_repo(folder / "repo", {"site.yml": HELLO, "told.yml": play(TOLD * TASKS)})
    with ExitStack() as stack:
        up = stack.enter_context(embedded(folder / "up"))
        servers = stack.enter_context(on_servers(folder / "servers"))
        servers.service.start_api()
        servers.start_workers()
        return [_measured(place, repo) for place in (up, servers.installation)]


def _measured(place: Installation, repo: Path) -> Figure:
    with place.client() as client:
        run(client, local_job(repo))  # warm
        job = client.post("/api/v1/jobs", json=local_job(repo, "told.yml")).json()
        delays = []
        with client.stream("GET", f"/api/v1/jobs/{job['id']}/stream") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    arrived, event = time.time(), json.loads(line.removeprefix("data: "))
                    if event.get("type") == "runner_on_ok" and event["task"] == "Told":
                        delays.append(arrived - float(event["result"]["msg"]))
    if len(delays) != TASKS:
        raise RuntimeError(f"{len(delays)} events instead of {TASKS}")
    p95 = percentile(delays, 0.95)
    how = (
        f"{TASKS} tasks that tell their own time, between tasks of 0.05 s; "
        f"median {1000 * median(delays):.0f} ms, worst {1000 * max(delays):.0f} ms"
    )
    name = f"p95 task finished → event at an SSE client, {place.name}"
    return Figure(name, f"{1000 * p95:.0f} ms", f"< {1000 * GOAL:.0f} ms", p95 < GOAL, how)
