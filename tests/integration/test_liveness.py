"""A real worker is healthy while it consumes, or while it is not its fault that it does not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from celery import Celery
from pydantic import SecretStr
from redis import Redis

from ansible_api import celery
from ansible_api.settings import Settings
from ansible_api.tasks import metrics, own_dir
from tests.acceptance.service import COMMAND
from tests.migrated import migrate
from tests.processes import end
from tests.servers.processes import free_port
from tests.servers.redis import RedisServer
from tests.servers.small_disk import on_small_disk, without_blocks
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
LONG = 12.0  # seconds: after an outage of that length Celery waits for less before it connects again
NOBODY = 2**22 + 1  # no process has a larger number than 2**22
KEY = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@dataclass
class LiveWorker:
    """The worker, its folder and its port."""

    folder: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes]
    port: int
    app: Celery

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)

    def healthy(self) -> bool:
        return self.get("/health").status_code == 200

    def probe(self) -> subprocess.CompletedProcess[str]:
        """`ansible-api worker health`."""
        return subprocess.run([*COMMAND, "worker", "health"], env=self.env, capture_output=True, text=True, check=False)

    def hold_its_slot(self) -> None:
        (self.folder / "hold").touch()
        started = self.events()
        self.app.send_task("tests.hold", queue="default")
        wait_for(lambda: self.events() > started)

    def events(self) -> float:
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith("ansible_api_events_total "))

    def trouble(self, name: str) -> None:
        (self.folder / name).touch()

    def relieve(self, name: str) -> None:
        (self.folder / name).unlink()

    @property
    def state(self) -> Path:
        """Its state directory, as it sees that."""
        return Path(f"/proc/{self.process.pid}/root{self.folder}/state")

    @property
    def metrics(self) -> Path:
        [found] = self.state.glob("workers/*/metrics")
        return found

    def files(self) -> list[str]:
        return sorted(path.name for path in self.metrics.glob("*.db"))


@pytest.fixture
def limit() -> float:
    """Seconds without a canary after which the worker is unhealthy."""
    return 5.0


@pytest.fixture
def disk() -> str:
    """What its state directory is on: `usual`, or a `small` file system."""
    return "usual"


@pytest.fixture
def worker(redis_server: RedisServer, sqlite_url: str, tmp_path: Path, limit: float, disk: str) -> Iterator[LiveWorker]:
    redis_server.process.revive()
    redis_server.flush()
    migrate(sqlite_url)
    port = free_port()
    given = {
        "DATABASE_URL": sqlite_url,
        "REDIS_URL": redis_server.url,
        "MASTER_KEY": KEY,
        "OBJECTS_DIR": str(tmp_path / "objects"),
        "STATE_DIR": str(tmp_path / "state"),
        "SHUTDOWN_GRACE": "1",
        "CHILD_MAX_JOBS": "1",
    }
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    env |= {f"ANSIBLE_API_{name}": value for name, value in given.items()}
    inside = on_small_disk(tmp_path / "state") if disk == "small" else ()
    argv = [*inside, sys.executable, "-m", "tests.integration.live_worker", str(tmp_path), str(limit)]
    with (tmp_path / "log").open("wb") as log:
        own = env | {"ANSIBLE_API_WORKER_PORT": str(port)}
        process = subprocess.Popen(argv, env=own, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    app = celery.create_sender(
        Settings(
            database_url=SecretStr(sqlite_url),
            redis_url=SecretStr(redis_server.url),
            master_key=SecretStr(KEY),
            objects_dir=tmp_path,
        )
    )
    live = LiveWorker(tmp_path, env, process, port, app)
    try:
        wait_for((tmp_path / "ready").exists, message=f"not ready, see {tmp_path / 'log'}")
        yield live
    finally:
        redis_server.process.revive()
        for name in ("hold", "hang"):
            with suppress(FileNotFoundError):
                live.relieve(name)
        end(process)
        celery.dispose(app)


def stays_healthy(worker: LiveWorker, seconds: float) -> None:
    """It is healthy at each look, for so long."""
    end = time.monotonic() + seconds

    def over() -> str | None:
        if not worker.healthy():
            return "unhealthy"
        return "healthy" if time.monotonic() > end else None

    assert wait_for(over, timeout=seconds * 3, interval=0.2) == "healthy"


def test_a_loop_that_hangs_is_noticed_also_by_the_command_for_probes(worker: LiveWorker) -> None:
    assert worker.healthy()
    wait_for(lambda: worker.probe().returncode == 0)
    worker.trouble("hang")
    wait_for(lambda: not worker.healthy(), timeout=20)
    answer = worker.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "not consuming"
    assert "no message came through the broker" in answer.json()["reason"]
    worker.relieve("hang")
    wait_for(worker.healthy)


def test_a_worker_that_consumes_no_more_is_noticed_though_its_loop_goes_on(worker: LiveWorker) -> None:
    worker.trouble("deaf")
    wait_for(lambda: not worker.healthy(), timeout=20)


def test_a_worker_whose_slots_are_all_taken_is_healthy(worker: LiveWorker) -> None:
    worker.hold_its_slot()
    stays_healthy(worker, 7.5)


def test_a_busy_worker_whose_loop_hangs_is_noticed(worker: LiveWorker) -> None:
    worker.hold_its_slot()
    worker.trouble("hang")
    wait_for(lambda: not worker.healthy(), timeout=20)


@pytest.mark.parametrize("limit", [LONG])
@pytest.mark.parametrize("trouble", ["dead", "hung"])
def test_a_broker_that_is_away_is_not_the_workers_fault(
    worker: LiveWorker, redis_server: RedisServer, trouble: str
) -> None:
    (redis_server.process.kill if trouble == "dead" else redis_server.process.pause)()
    stays_healthy(worker, LONG * 1.2)
    redis_server.process.revive()
    stays_healthy(worker, LONG * 1.5)
    worker.hold_its_slot()


def test_canaries_go_with_their_worker(worker: LiveWorker, redis_server: RedisServer) -> None:
    worker.trouble("hang")
    with Redis.from_url(redis_server.url) as client:
        [name] = wait_for(lambda: client.keys("*canary.*"))  # type: ignore[misc]
        assert 0 < client.pttl(name) <= 600_000  # type: ignore[operator]


def test_metrics_of_children_that_were_replaced_stay_and_their_files_do_not(worker: LiveWorker) -> None:
    for number in range(4):
        worker.app.send_task("tests.hold", queue="default")
        wait_for(lambda count=number: worker.events() == count + 1)  # type: ignore[misc]
    wait_for(lambda: "counter_ended.db" in worker.files() and len(worker.files()) <= 6)
    assert worker.events() == 4


@pytest.mark.parametrize("disk", ["small"])
def test_on_a_full_disk_children_and_their_worker_go_on_counting(worker: LiveWorker) -> None:
    with without_blocks(worker.state):
        for number in range(3):
            worker.app.send_task("tests.hold", queue="default")
            wait_for(lambda count=number: worker.events() == count + 1)  # type: ignore[misc]
        wait_for(lambda: "counter_ended.db" in worker.files())
        assert worker.events() == 3
        assert worker.healthy()


def test_its_heart_beats_though_what_the_dead_counted_cannot_be_summed_up(worker: LiveWorker) -> None:
    (worker.metrics / f"counter_{NOBODY}.db").mkdir()
    began = time.time()
    [heartbeat] = worker.state.glob("workers/*/heartbeat")
    wait_for(lambda: heartbeat.stat().st_mtime > began)
    assert worker.healthy()


def test_nothing_of_a_worker_that_has_ended_is_left_in_memory(worker: LiveWorker) -> None:
    files = worker.metrics.resolve()
    assert files.parent == metrics.MEMORY
    worker.process.terminate()
    worker.process.wait(15)
    assert not files.exists()


def test_what_a_dead_worker_left_goes_at_the_next_start_and_counts_for_no_probe(
    worker: LiveWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = worker.metrics.resolve()
    worker.process.kill()
    worker.process.wait()
    no_worker = wait_for(lambda: (done := worker.probe()).returncode == 1 and done)
    assert "no worker runs" in no_worker.stderr
    assert files.exists()
    monkeypatch.setattr(own_dir._Process, "path", None)
    own_dir.own_dir(worker.folder / "state")
    assert not files.exists()
