"""What lists and metrics cost in a table of a hundred times as many jobs, on MariaDB."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tests.many_jobs import KEY, RARE_REPO, REPO, fill

from ansible_api.api.metrics import KEPT
from ansible_api.db import Database
from bench.figures import Figure, median
from bench.installations import on_servers

FEW, MANY = 10_000, 1_000_000
WARM_UP, REPETITIONS = 5, 60
GOAL = 1.2
SCRAPES, SCRAPE_GOAL = 8, 0.05
QUERIES = {
    "no filter": {},
    "status": {"status": "failed"},
    "several statuses": {"status": ["queued", "running", "successful"]},
    "queue": {"queue": "git-heavy"},
    "repo": {"repo": REPO},
    "rare repo": {"repo": RARE_REPO},
    "key": {"key": KEY},
    "label": {"label": "env=prod"},
    "created_before": {"created_before": datetime.now(UTC).isoformat()},
    "repo and status": {"repo": REPO, "status": "failed"},
    "text that nothing has": {"text": "absent"},
}


def measure(folder: Path) -> list[Figure]:
    with ExitStack() as stack:
        clients = {}
        for count in (FEW, MANY):
            servers = stack.enter_context(on_servers(folder / str(count)))
            database = Database(servers.service.env["DATABASE_URL"])
            stack.callback(database.close)
            fill(database, count, until=datetime.now(UTC), team="default")
            servers.service.start_api()
            clients[count] = stack.enter_context(servers.installation.client())
        return [*(_compared(name, query, clients) for name, query in QUERIES.items()), _scraped(clients[MANY])]


def _compared(name: str, query: dict[str, str | list[str]], clients: dict[int, httpx.Client]) -> Figure:
    times: dict[int, list[float]] = {count: [] for count in clients}
    for turn in range(WARM_UP + REPETITIONS):
        for count, client in clients.items():  # in turn: what drifts on the machine meets both
            seconds = _timed(client, query)
            if turn >= WARM_UP:
                times[count].append(seconds)
    few, many = median(times[FEW]), median(times[MANY])
    how = f"medians {1000 * many:.1f} ms and {1000 * few:.1f} ms of {REPETITIONS} pages of 25 jobs, in turn"
    title = f"a page of jobs, {name}: {MANY:,} ÷ {FEW:,} rows"
    return Figure(title, f"{many / few:.2f}", f"≤ {GOAL}", many / few <= GOAL, how)


def _scraped(client: httpx.Client) -> Figure:
    times = []
    for _ in range(SCRAPES):
        time.sleep(KEPT + 0.1)  # the API answers with what it read before
        times.append(_timed(client, path="/metrics"))
    worst = max(times)
    how = f"worst of {SCRAPES} that read the rows, median {1000 * median(times):.0f} ms; {MANY // 500:,} jobs run"
    title = f"GET /metrics with {MANY:,} rows"
    return Figure(title, f"{1000 * worst:.0f} ms", f"< {1000 * SCRAPE_GOAL:.0f} ms", worst < SCRAPE_GOAL, how)


def _timed(client: httpx.Client, query: dict[str, str | list[str]] | None = None, path: str = "/api/v1/jobs") -> float:
    started = time.perf_counter()
    answer = client.get(path, params=query)
    seconds = time.perf_counter() - started
    if answer.status_code != 200:
        raise RuntimeError(f"no answer: {answer.text}")
    return seconds
