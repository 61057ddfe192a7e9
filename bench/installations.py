"""Whole installations to measure, with the settings of production: `ansible-api up`, and MariaDB with Redis."""

import os
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.acceptance.service import COMMAND, Service
from tests.processes import processes_with
from tests.running_up import RunningUp
from tests.servers.mariadb import MariaDBServer, mariadb
from tests.servers.redis import RedisServer, redis
from tests.waiting import wait_for

from ansible_api.routing import JOB_QUEUES, Queue
from ansible_api.schema import upgrade

WAIT = 60  # seconds that a submission may wait for its job


@dataclass(frozen=True)
class Installation:
    """A running service and how to talk to it."""

    name: str
    url: str
    key: str
    mark: str

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=WAIT + 10, trust_env=False, verify=False)

    def pids(self, part: str) -> list[int]:
        """The processes of a part, `api` or `worker`, forked children included."""
        return [pid for pid in processes_with(self.mark) if _command(pid)[: len(COMMAND) + 1] == [*COMMAND, part]]


@dataclass(frozen=True)
class Servers:
    """A service on MariaDB and Redis whose parts are started one by one."""

    service: Service
    mariadb: MariaDBServer
    redis: RedisServer

    @property
    def installation(self) -> Installation:
        name = "MariaDB, Redis, S3" if "S3_BUCKET" in self.service.env else "MariaDB, Redis"
        return Installation(name, self.service.url, self.service.key, self.service.mark)

    def start_workers(self) -> None:
        """As `up` does: one for jobs, one for what follows them."""
        self.service.start_worker(*(queue.value for queue in JOB_QUEUES), name="jobs")
        self.service.start_worker(Queue.DELIVERY.value, name="delivery")


@contextmanager
def embedded(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Installation]:
    """`ansible-api up`, ready."""
    folder.mkdir(parents=True)
    up = RunningUp(COMMAND, folder / "data", folder / "output", env=env or {})
    try:
        up.start()
        url = up.url
        yield Installation("`ansible-api up`", url, (up.data / "admin.key").read_text().strip(), up.mark)
        up.stop()
    finally:
        up.clean_up()


@contextmanager
def on_servers(folder: Path, **more: str) -> Iterator[Servers]:
    """MariaDB, Redis, a schema and a key; no part of the service runs yet. `more` are further settings."""
    for name in ("mariadb", "redis", "service"):
        (folder / name).mkdir(parents=True)
    with mariadb(folder / "mariadb") as database, redis(folder / "redis") as broker:
        url = database.new_database()
        upgrade(url)
        settings = {
            "DATABASE_URL": url,
            "REDIS_URL": broker.url,
            "MASTER_KEY": "1:" + b64encode(os.urandom(32)).decode(),
            "STATE_DIR": str(folder / "state"),
            "ALLOW_LOCAL_REPOS": "true",
            **({} if "S3_BUCKET" in more else {"OBJECTS_DIR": str(folder / "objects")}),
            **more,
        }
        service = Service(folder / "service", settings)
        service.key = service.run("keys", "create", "--name", "bench", "--role", "admin")
        try:
            yield Servers(service, database, broker)
        finally:
            service.stop()


def run(client: httpx.Client, request: Mapping[str, Any]) -> dict[str, Any]:
    """Submit a job through `POST ?wait`; the job when it has ended well."""
    answer = client.post("/api/v1/jobs", params={"wait": WAIT}, json=request)
    job: dict[str, Any] = answer.json()
    if answer.status_code != 200 or job["status"] != "successful":
        raise RuntimeError(f"the job did not succeed: {answer.text}")
    return job


def wait_until_closed(client: httpx.Client, job: Mapping[str, Any]) -> None:
    """Until its log is stored: what follows a job shall not run into the next measurement."""
    wait_for(lambda: client.get(f"/api/v1/jobs/{job['id']}").json()["log_status"] != "pending", 30)


def clean_environment(home: Path) -> dict[str, str]:
    """For what is compared with a play of the service: nothing of this process's environment."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
