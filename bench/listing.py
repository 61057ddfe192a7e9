"""What lists and metrics cost in a table of a hundred times as many jobs, on MariaDB."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import text
from tests.many_jobs import KEY, RARE_REPO, REPO, fill

from ansible_api.api.metrics import KEPT
from ansible_api.db import Database
from bench.figures import Figure, median
from bench.installations import on_servers

FEW, MANY = 10_000, 1_000_000
WARM_UP, REPETITIONS = 5, 60
GOAL = 1.2
SCRAPES, SCRAPE_GOAL = 8, 0.05
PAGE = 25
QUERIES = {
    "no filter": {},
    "status": {"status": "failed"},
    "several statuses": {"status": ["queued", "running", "successful"]},
    "queue": {"queue": "git-heavy"},
    "repo": {"repo": REPO},
    "rare repo": {"repo": RARE_REPO, "limit": "10"},  # the small table has no more
    "key": {"key": KEY},
    "label": {"label": "env=prod"},
    "repo and status": {"repo": REPO, "status": "failed"},
    "text that nothing has": {"text": "absent"},
}
SHORT = {"rare repo": 10, "repo and status": 21, "text that nothing has": 0}  # jobs on pages that are not full
_WAITING = text("""
UPDATE jobs SET status = 'queued', phase = 'queued', log_status = 'pending', finished_at = NULL, closed_at = NULL
WHERE MOD(RIGHT(id, 10), 500) = 2
""")


def measure(folder: Path) -> list[Figure]:
    until = datetime.now(UTC)
    with ExitStack() as stack:
        clients = {}
        for count in (FEW, MANY):
            servers = stack.enter_context(on_servers(folder / str(count)))
            database = Database(servers.service.env["DATABASE_URL"])
            stack.callback(database.close)
            fill(database, count, until=until, team="default")
            database.write(lambda session: session.execute(_WAITING) and None)
            servers.service.start_api()
            clients[count] = stack.enter_context(servers.installation.client())
        before = {"created_before": {"created_before": (until - timedelta(minutes=5)).isoformat()}}
        compared = [_compared(name, query, clients) for name, query in (QUERIES | before).items()]
        return [*compared, _scraped(clients[MANY])]


def _compared(name: str, query: dict[str, str | list[str]], clients: dict[int, httpx.Client]) -> Figure:
    times: dict[int, list[float]] = {count: [] for count in clients}
    jobs = SHORT.get(name, PAGE)
    for turn in range(WARM_UP + REPETITIONS):
        for count, client in clients.items():  # in turn: what drifts on the machine meets both
            seconds, answer = _timed(client, query)
            if (found := len(answer.json()["items"])) != jobs:
                raise RuntimeError(f"{name}, {count} rows: a page of {found} jobs rather than {jobs}")
            if turn >= WARM_UP:
                times[count].append(seconds)
    few, many = median(times[FEW]), median(times[MANY])
    how = f"medians {1000 * many:.1f} ms and {1000 * few:.1f} ms of {REPETITIONS} pages of {jobs} jobs, in turn"
    title = f"a page of jobs, {name}: {MANY:,} ÷ {FEW:,} rows"
    return Figure(title, f"{many / few:.2f}", f"≤ {GOAL}", many / few <= GOAL, how)


def _scraped(client: httpx.Client) -> Figure:
    times = []
    for _ in range(SCRAPES):
        time.sleep(KEPT + 0.1)  # the API answers with what it read before
        seconds, answer = _timed(client, path="/metrics")
        if f'ansible_api_jobs{{queue="default",status="queued"}} {MANY // 500}.0' not in answer.text:
            raise RuntimeError(f"the figures of the queues are not there: {answer.text}")
        times.append(seconds)
    worst = max(times)
    jobs = f"{MANY // 500:,} jobs run, as many wait"
    how = f"worst of {SCRAPES} that read the rows, median {1000 * median(times):.0f} ms; {jobs}"
    title = f"GET /metrics with {MANY:,} rows"
    return Figure(title, f"{1000 * worst:.0f} ms", f"< {1000 * SCRAPE_GOAL:.0f} ms", worst < SCRAPE_GOAL, how)


def _timed(
    client: httpx.Client, query: dict[str, str | list[str]] | None = None, path: str = "/api/v1/jobs"
) -> tuple[float, httpx.Response]:
    started = time.perf_counter()
    answer = client.get(path, params=query)
    seconds = time.perf_counter() - started
    if answer.status_code != 200:
        raise RuntimeError(f"no answer: {answer.text}")
    return seconds, answer
