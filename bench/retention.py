"""How fast old jobs go with their logs, and what submissions notice of it; MariaDB and a directory of objects."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update
from tests.many_jobs import fill

from ansible_api.db import Database
from ansible_api.events import keys
from ansible_api.jobs.model import Job
from ansible_api.objects import ObjectStore, with_store
from ansible_api.settings import Settings
from ansible_api.tasks.retention import Retention
from bench.figures import Figure, percentile
from bench.installations import Servers, on_servers
from bench.submissions import load

JOBS = 3000
RATE, COUNT, WARM_UP = 100, 2000, 500
P99_GOAL = 0.1
PAUSE = 0.2  # seconds between batches: far less than in a worker


def measure(folder: Path) -> list[Figure]:
    with on_servers(folder) as servers:
        settings = Settings(**{name.lower(): value for name, value in servers.service.env.items()})
        database = Database(servers.service.env["DATABASE_URL"])
        _make(database, settings)
        servers.service.start_api()
        ports = [servers.service.port]
        load(servers, ports, WARM_UP)
        without = _p99(servers, ports)
        removal = _Removal(database, settings)
        during = _p99(servers, ports)
        seconds = removal.finish()
        database.close()
    how = f"{JOBS} jobs with two objects each, in batches of 100 with pauses of {PAUSE} s, while {RATE} jobs/s come"
    goal = f"< {1000 * P99_GOAL:.0f} ms"
    return [
        Figure("old jobs that go with their logs", f"{JOBS / seconds:.0f}/s", "", None, how),
        Figure(
            f"p99 of submissions at {RATE}/s meanwhile",
            f"{1000 * during:.0f} ms",
            goal,
            during < P99_GOAL,
            f"{1000 * without:.0f} ms without",
        ),
    ]


class _Removal:
    """Removes all that is old, in a thread."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._work, self._seconds = Retention(database, settings), 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> float:
        """The seconds that all of it took, when all of it is done."""
        self._thread.join()
        return self._seconds

    def _run(self) -> None:
        began = time.monotonic()
        while self._work.round():
            time.sleep(PAUSE)
        self._seconds = time.monotonic() - began


def _p99(servers: Servers, ports: list[int]) -> float:
    return percentile(load(servers, ports, COUNT, rate=RATE)["latencies"], 0.99)


def _make(database: Database, settings: Settings) -> None:
    until = datetime.now(UTC) - timedelta(days=100)
    fill(database, JOBS, until=until)
    ended = {"status": "successful", "log_status": "stored", "finished_at": until, "closed_at": until}
    database.write(lambda session: session.execute(update(Job).values(**ended)) and None)
    ids = database.read(lambda session: session.scalars(select(Job.id)).all())

    async def keep(objects: ObjectStore) -> None:
        for job_id in ids:
            for key in (keys.log_object(job_id, 1), keys.events_object(job_id, 1)):
                await objects.put(key, b"x" * 4096)

    with_store(settings, keep)
