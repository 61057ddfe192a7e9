"""`make pictures`: the pictures of Flower in docs/operating.md, of real pools at work, taken in Chromium."""

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import httpx
from tests.acceptance.repos import HELLO, SLOW, make_repo
from tests.acceptance.service import Service, installed, local_job, plain_client
from tests.servers.processes import free_port
from tests.servers.redis import redis
from tests.servers.requirements import require
from tests.waiting import wait_for

from ansible_api.routing import JOB_QUEUES, Queue

ROOT = Path(__file__).parent.parent
PAGES = {"workers": "workers", "tasks": "tasks"}
SLOTS = {Queue.DEFAULT: 4, Queue.DELIVERY: 4}


def main() -> None:
    """Start everything, give it work, look at it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "redis").mkdir()
        with (
            redis(root / "redis") as server,
            installed(root, f"sqlite:///{root / 'database.sqlite'}", server.url) as service,
        ):
            service.start_api()
            for queue in Queue:
                service.start_worker(queue.value, name=queue.value, concurrency=SLOTS.get(queue, 2))
            port = free_port()
            service.start("flower", "flower", "--port", str(port), FLOWER_UNAUTHENTICATED_API="true")
            _wait_for_pools(port)
            _work(service, make_repo(root / "repo", {"site.yml": HELLO, "slow.yml": SLOW}))
            for name, page in PAGES.items():
                _picture(f"http://127.0.0.1:{port}/{page}", ROOT / "docs" / "images" / f"flower-{name}.png")


def _wait_for_pools(port: int) -> None:
    def seen() -> int:
        with suppress(httpx.ConnectError), plain_client(f"http://127.0.0.1:{port}", "", timeout=20) as flower:
            return len(flower.get("/api/workers?refresh=true").json())
        return 0

    wait_for(lambda: seen() == len(Queue), 60)


def _work(service: Service, repo: Path) -> None:
    """Some jobs in each pool, and one more that runs."""
    for queue in JOB_QUEUES:
        quick = [service.submit(local_job(repo, options={"queue": queue.value})) for _ in range(3)]
        for job_id in quick:
            service.wait_for_closed(job_id)
        service.wait_for_status(service.submit(local_job(repo, "slow.yml", options={"queue": queue.value})), "running")


def _picture(url: str, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1500,760"]
    patience = ["--virtual-time-budget=10000", f"--screenshot={path}"]
    subprocess.run([require("chromium"), *options, *patience, url], check=True, capture_output=True)


main()
