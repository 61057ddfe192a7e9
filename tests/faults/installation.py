"""The installation that the faults meet: private servers, two APIs, three workers, and a keeper that restarts them."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ansible_api import processes
from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import Service, installed, plain_client
from tests.faults import crashing
from tests.faults.ledger import NOTE, Ledger, ledger
from tests.processes import processes_with
from tests.servers.mariadb import MariaDBServer, mariadb
from tests.servers.processes import free_port
from tests.servers.redis import RedisServer, redis
from tests.servers.s3 import S3Bucket, S3Server, s3
from tests.servers.webhook_sink import WebhookSink, webhook_sink
from tests.waiting import wait_for

COMMAND = (sys.executable, "-P", "-m", "tests.faults.crashing")
ROOT = Path(__file__).parents[2]
LEASE = 4.0
STUCK_LIMIT = LEASE + 15.0  # what the design promises
SETTINGS = {
    "LEASE_PREPARING": str(LEASE),
    "LEASE_PLAYING": str(LEASE),
    "SHUTDOWN_GRACE": "30",
    "UPKEEP_INTERVAL": "2",
    "CHILD_MAX_JOBS": "20",  # tasks: a child that takes the place of one that has done its share begins with more
    "HOT_EVENTS_TTL": "60",
    "WEBHOOK_TIMEOUT": "3",
    "WEBHOOK_HOLD": "5",
    "WEBHOOK_SCHEDULE": "[0, 0.5, 1, 2, 4, 4, 4, 4, 4, 4]",
    "BROKER_TIMEOUT": "1",
}
PLAY = play("""
- name: Note
  command: bash {{ playbook_dir }}/note.sh {{ ledger }} {{ port }} {{ seconds }} {{ code | default(0) }}
""")


@dataclass
class Part:
    """One process of ours: how it is started, and whether the keeper shall restart it."""

    name: str
    arguments: tuple[str, ...]
    env: dict[str, str]
    port: int | None = None
    prefix: tuple[str, ...] = ()  # a program that starts it elsewhere
    process: subprocess.Popen[bytes] | None = None
    kept: bool = True

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def children(self) -> list[int]:
        """The processes directly below it."""
        return processes.children(self.pid) if self.running else []


@dataclass
class Installation:
    """All of it; scenarios reach for what they hurt."""

    folder: Path
    service: Service
    redis: RedisServer
    mariadb: MariaDBServer
    s3: S3Server
    bucket: S3Bucket
    sink: WebhookSink
    ledger: Ledger
    repo: Path
    parts: dict[str, Part] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def armed(self) -> Path:
        """The directory of the points at which processes end: see crashing.py."""
        return self.folder / "armed"

    def arm(self, point: str, whom: str) -> None:
        """Have whoever comes to the point end there: `*`, `label` or a job's id."""
        written = self.armed / f".{point}"
        written.write_text(whom)
        written.rename(self.armed / point)

    @property
    def database(self) -> str:
        return self.service.env["DATABASE_URL"].rsplit("/", 1)[1]

    def rows(self, statement: str, *values: object) -> list[tuple]:
        """Rows of the service's database, read past the service."""
        return self.mariadb.execute(statement.replace("$", f"{self.database}."), *values)

    def apis(self) -> list[Part]:
        return [part for part in self.parts.values() if part.port]

    def workers(self) -> list[Part]:
        return [part for part in self.parts.values() if not part.port]

    def client(self, part: Part | None = None, *, key: str | None = None) -> httpx.Client:
        port = (part or random.choice(self.apis())).port
        return plain_client(f"http://127.0.0.1:{port}", key or self.service.key, timeout=20)

    def add_api(self, name: str) -> Part:
        port = free_port()
        return self._add(Part(name, ("api", "--port", str(port)), {}, port))

    def add_worker(
        self,
        name: str,
        *,
        concurrency: int = 2,
        queues: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        **settings: str,
    ) -> Part:
        """A worker with a state directory of its own."""
        ours = {"STATE_DIR": str(self.folder / f"state-{name}")} | settings
        named = tuple(word for queue in queues for word in ("--queue", queue))
        ready = str(self.folder / f"{name}.ready")
        arguments = ("worker", *named, "--concurrency", str(concurrency), "--ready-file", ready)
        whole = {f"ANSIBLE_API_{key}": value for key, value in ours.items()} | dict(env or {})
        return self._add(Part(name, arguments, whole, prefix=prefix))

    def _add(self, part: Part) -> Part:
        self.parts[part.name] = part
        self.start(part)
        return part

    def start(self, part: Part) -> None:
        with self._lock:
            (self.folder / f"{part.name}.ready").unlink(missing_ok=True)
            self.service.command = (*part.prefix, *COMMAND)
            env = {"PYTHONPATH": str(ROOT), crashing.ARMED: str(self.armed)}
            part.process = self.service.start(part.name, *part.arguments, **env, **part.env)

    def wait_until_ready(self, *parts: Part) -> None:
        for part in parts or tuple(self.parts.values()):
            limit = {"timeout": 60.0, "message": f"{part.name} not ready: {self.service.log(part.name)[-2000:]}"}
            wait_for(lambda part=part: self.is_ready(part), interval=0.1, **limit)  # type: ignore[misc, arg-type]

    def is_ready(self, part: Part) -> bool:
        if not part.running:
            return False
        if part.port is None:
            return (self.folder / f"{part.name}.ready").exists()
        with suppress(httpx.HTTPError), self.client(part) as client:
            return client.get("/ready").status_code == 200
        return False

    def keep(self) -> None:
        """Restart whatever has ended, until told to stop."""
        while not self._stop.wait(0.1):
            for part in list(self.parts.values()):
                if part.kept and not part.running:
                    self.start(part)

    def kill(self, pid: int) -> bool:
        """SIGKILL, as a crash would do it; False: it was gone already."""
        return processes.send(pid, signal.SIGKILL)

    def remove(self, part: Part) -> None:
        """End a part for good."""
        part.kept = False
        if part.process is not None:
            part.process.kill()
            part.process.wait()
        del self.parts[part.name]

    def pids(self) -> set[int]:
        return set(processes_with(self.service.mark))

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def installation(folder: Path, *, apis: int = 2, workers: int = 3, **settings: str) -> Iterator[Installation]:
    """An installation that runs and is looked after."""
    with ExitStack() as stack:
        rooms = {name: folder / name for name in ("redis", "mariadb", "s3", "service")}
        for room in rooms.values():
            room.mkdir(parents=True)
        broker = stack.enter_context(redis(rooms["redis"]))
        database = stack.enter_context(mariadb(rooms["mariadb"]))
        storage = stack.enter_context(s3(rooms["s3"]))
        bucket = storage.new_bucket()
        sink = stack.enter_context(webhook_sink())
        notes = stack.enter_context(ledger(folder / "ledger"))
        files = {"site.yml": PLAY, "note.sh": NOTE, "broken.yml": "all: [unbalanced\n"}
        repo = make_repo(folder / "repo", files)
        wanted = SETTINGS | bucket.settings | settings
        service = stack.enter_context(installed(rooms["service"], database.new_database(), broker.url, **wanted))
        whole = Installation(rooms["service"], service, broker, database, storage, bucket, sink, notes, repo)
        whole.armed.mkdir()
        for number in range(apis):
            service.port = whole.add_api(f"api{number + 1}").port or 0
        for number in range(workers):
            whole.add_worker(f"worker{number + 1}")
        whole.wait_until_ready()
        keeper = threading.Thread(target=whole.keep, name="keeper", daemon=True)
        keeper.start()
        try:
            yield whole
        finally:
            whole.stop()
            keeper.join()
