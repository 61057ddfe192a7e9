"""The whole service in a test: a real API and real workers on real servers, with short leases."""

import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from ansible_api.db import Database
from ansible_api.keys import store as keys
from ansible_api.keys.model import Role
from ansible_api.routing import JOB_QUEUES
from ansible_api.settings import Settings, load_settings
from tests.migrated import migrate
from tests.processes import MARK, new_mark, processes_with
from tests.servers.processes import free_port
from tests.waiting import wait_for

COMMAND = [sys.executable, "-P", "-m", "ansible_api.cli"]
TERMINAL = {"successful", "failed", "error", "canceled", "timed_out", "lost"}
CLOSED = {"stored", "partial", "failed", "expired"}
POLL = 0.1  # seconds between two looks at a job: asking costs as much as running it
QUICK = {
    "LEASE_PREPARING": "30",
    "LEASE_PLAYING": "30",
    "LEASE_RENEWAL": "1",
    "UPKEEP_INTERVAL": "0.5",
    "REPUBLISH_AFTER": "1",
    "RETRY_BASE": "0.2",
    "CANCEL_GRACE": "2",
    "SHUTDOWN_GRACE": "10",
    "WEBHOOK_SCHEDULE": "[0, 0.2, 0.2]",
    "LOOPBACK_EGRESS": "true",
    "ALLOW_LOCAL_REPOS": "true",
}


def plain_client(url: str, key: str, *, timeout: float) -> httpx.Client:
    """A client of an API without TLS: the authorities that it would load cost more than many a request."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=False)


@dataclass
class Service:
    """One installation: its environment, its processes, a client with an admin key."""

    folder: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    mark: str = field(default_factory=new_mark)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    key: str = ""
    command: Sequence[str] = tuple(COMMAND)  # what starts a part

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> httpx.Client:
        return plain_client(self.url, self.key, timeout=70)

    @property
    def settings(self) -> Settings:
        """As its processes read them."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            return load_settings()

    def new_key(self, name: str, role: Role, *, team: str = "default") -> str:
        """As `keys create` makes one, without the start of a process."""
        with closing(Database(self.settings.database_url.get_secret_value())) as database:
            _, made = database.write(keys.create, team=team, name=name, role=role, queues=list(JOB_QUEUES))
        return made.text

    def run(self, *arguments: str) -> str:
        """What a command of ours prints."""
        done = subprocess.run(
            [*COMMAND, *arguments], env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, name: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a part with its log in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.command, *arguments],
                env=self.environment() | env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def start_api(self) -> None:
        self.start("api", "api", "--port", str(self.port))
        wait_for(self._ready, timeout=30, message=f"API not ready: {self.log('api')}")

    def start_worker(self, *queues: str, name: str = "worker", concurrency: int = 2) -> subprocess.Popen[bytes]:
        """A worker that takes tasks when this returns."""
        ready = self.folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        named = [word for queue in queues for word in ("--queue", queue)]
        options = ["--concurrency", str(concurrency), "--ready-file", str(ready)]
        process = self.start(name, "worker", *named, *options)
        wait_for(ready.exists, timeout=30, message=f"worker not ready: {self.log(name)}")
        return process

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def submit(self, spec: dict[str, Any], **headers: str) -> str:
        """The id of an accepted job."""
        with self.client as client:
            answer = client.post("/api/v1/jobs", json=spec, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        with self.client as client:
            return _job(client, job_id)

    def wait_for_status(self, job_id: str, *statuses: str, timeout: float = 60) -> dict[str, Any]:
        """The job, once it has one of these statuses (any terminal one when none is given)."""
        return self._wait_for(job_id, timeout, status=statuses or TERMINAL)

    def _wait_for(self, job_id: str, timeout: float, **wanted: Collection[str]) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            job = _job(client, job_id)
            return job if all(job[name] in values for name, values in wanted.items()) else None

        with self.client as client:
            job = wait_for(reached, timeout, interval=POLL, message=f"{job_id} did not get {wanted}")
        assert job is not None
        return job

    def wait_for_closed(self, job_id: str, timeout: float = 30) -> dict[str, Any]:
        """The job, once its log is stored or given up."""
        self.wait_for_status(job_id, timeout=max(timeout, 60))
        return self._wait_for(job_id, timeout, log_status=CLOSED)

    def log_of(self, job_id: str) -> str:
        with self.client as client:
            answer = client.get(f"/api/v1/jobs/{job_id}/logs", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.text

    def store_credential(self, **fields: Any) -> None:
        with self.client as client:
            answer = client.post("/api/v1/credentials", json=fields)
        assert answer.status_code == 201, answer.text

    def pids(self) -> set[int]:
        """Every process of this installation, and of the plays that it runs."""
        return set(processes_with(self.mark))

    def stop(self) -> None:
        for process in reversed(self.processes):
            with suppress(ProcessLookupError):
                process.terminate()
        for process in reversed(self.processes):
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(5)

    def _ready(self) -> bool:
        with suppress(httpx.HTTPError), self.client as client:
            return client.get("/ready").status_code == 200
        return False

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_API_")}
        return inherited | {f"ANSIBLE_API_{name}": value for name, value in self.env.items()} | {MARK: self.mark}


@contextmanager
def installed(folder: Path, database_url: str, redis_url: str, **settings: str) -> Iterator[Service]:
    """An installation with a fresh schema and an admin key, nothing started yet."""
    migrate(database_url)
    master_key = folder / "master.key"
    master_key.touch(mode=0o600)
    master_key.write_text("1:" + b64encode(os.urandom(32)).decode())
    env = QUICK | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "MASTER_KEY_FILE": str(master_key),
        "STATE_DIR": str(folder / "state"),
    }
    if "S3_BUCKET" not in settings:
        env["OBJECTS_DIR"] = str(folder / "objects")
    service = Service(folder, env | settings)
    service.key = service.new_key("test", Role.ADMIN)
    try:
        yield service
    finally:
        service.stop()


def _job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}").json()
    return answer


def local_job(repo: Path, path: str | Sequence[str] = "site.yml", hosts: int = 1, **parts: Any) -> dict[str, Any]:
    """A request that plays on local connections."""
    names = [f"host{number}" for number in range(1, hosts + 1)]
    inventory = {"type": "inline", "hosts": names, "group_vars": {"all": {"ansible_connection": "local"}}}
    return {"source": {"type": "playbook", "repo": str(repo), "path": path}, "inventory": inventory, **parts}
