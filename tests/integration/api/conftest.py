"""The API in this process: its own lifespan, real database, Redis and object directory behind it."""

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI

from ansible_api.api.app import create_app
from ansible_api.api.deps import Parts
from ansible_api.db import Database, now_plus
from ansible_api.events.keys import events_object, log_object
from ansible_api.events.publish import Publisher, mark_end
from ansible_api.events.types import Event
from ansible_api.jobs import closing
from ansible_api.jobs import store as jobs
from ansible_api.jobs.model import JobObject
from ansible_api.jobs.state import LogStatus, Phase, Status
from ansible_api.keys import store as keys
from ansible_api.keys.model import Role
from ansible_api.objects import with_store
from ansible_api.redis import client as sync_client
from ansible_api.settings import Settings
from tests.migrated import migrate
from tests.servers.s3 import S3Bucket

MASTER_KEY = "1:" + base64.b64encode(bytes(range(32))).decode()
JOB: dict[str, Any] = {
    "source": {"type": "playbook", "repo": "https://git.example.com/playbooks.git", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1", "web2"]},
}


@dataclass(frozen=True)
class Api:
    """A started API and a database beside it."""

    app: FastAPI
    settings: Settings
    database: Database

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    def key(self, role: Role = Role.SUBMITTER, *, team: str = "red", **more: Any) -> str:
        """The text of a new key."""
        _, key = self.database.write(keys.create, team=team, name=f"{team} {role}", role=role, **more)
        return key.text

    def worker(self, job_id: str) -> "Worker":
        """A worker that has claimed a job."""
        job = self.database.write(jobs.claim, job_id, "test worker", 60.0)
        assert job is not None
        return Worker(self, jobs.Fence(job_id, job.attempt, "test worker"))

    def client(self, role: Role = Role.SUBMITTER, *, team: str = "red", key: str | None = None) -> httpx.AsyncClient:
        """A client with a key of that role and team."""
        text = key or self.key(role, team=team)
        return self.stranger(headers={"Authorization": f"Bearer {text}"})

    def stranger(self, **more: Any) -> httpx.AsyncClient:
        """A client without any key."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api.test", **more)


@dataclass(frozen=True)
class Worker:
    """What a worker does to a job, with its own database connection and Redis client."""

    api: Api
    fence: jobs.Fence

    def begin_play(self) -> None:
        self.api.database.write(jobs.write_running, self.fence, play_started_at=now_plus(), phase=Phase.PLAYING)

    @contextmanager
    def publisher(self, spool: Path, *, hot_limit: int = 4_000_000) -> Iterator[Publisher]:
        """Publishes events as a worker does; segments go to the API's own object store."""
        with sync_client(self.api.settings.redis_url.get_secret_value()) as client:

            def put(key: str, data: bytes) -> None:
                with_store(self.api.settings, lambda store: store.put(key, data))

            places = {"job_id": self.fence.job_id, "attempt": self.fence.attempt}
            with Publisher(client, put, spool=spool, hot_limit=hot_limit, **places) as publisher:
                yield publisher

    def finish(self, status: Status = Status.SUCCESSFUL, *, last_seq: int = 0, events: int | None = None) -> None:
        """End the job, then wake who follows it."""
        ending = {"return_code": 0, "phase": Phase.FINISHING, "events": events}
        assert self.api.database.write(jobs.finish, self.fence, status, **ending)
        with sync_client(self.api.settings.redis_url.get_secret_value()) as client:
            mark_end(client, self.fence.job_id, self.fence.attempt, last_seq)

    def _events(self) -> int | None:
        job = self.api.database.read(jobs.get, self.fence.job_id)
        return job and job.events

    async def store(self, kind: str, data: bytes) -> None:
        """Store a product and close the job with it."""
        key = (log_object if kind == "log" else events_object)(self.fence.job_id, self.fence.attempt)
        stored = await self.api.parts.objects.put(key, data)
        product = JobObject(
            job_id=self.fence.job_id,
            attempt=self.fence.attempt,
            kind=kind,
            key=key,
            size=stored.size,
            sha256=stored.sha256,
            created_at=datetime.now(UTC),
        )
        places = {"log_status": LogStatus.STORED, "events": self._events(), "products": [product]}
        assert self.api.database.write(closing.close, self.fence.job_id, self.fence.attempt, **places)


def event(seq: int, **more: Any) -> Event:
    return Event(seq=seq, time="2026-01-15T10:00:00Z", type="runner_on_ok", stdout=f"line {seq}", **more)


def settings_of(database_url: str, redis_url: str, objects: Path, **more: Any) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, master_key=MASTER_KEY, objects_dir=objects, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Api]:
    """The API between its start and its end."""
    app = create_app(settings)
    database = Database(settings.database_url.get_secret_value())
    try:
        async with app.router.lifespan_context(app):
            yield Api(app, settings, database)
    finally:
        database.close()


@pytest.fixture
def new_settings(database_url: str, redis_server: Any, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a migrated database, on each kind of database."""
    redis_server.process.revive()
    redis_server.flush()
    migrate(database_url)

    def make(**more: Any) -> Settings:
        return settings_of(database_url, redis_server.url, tmp_path / "objects", **more)

    return make


@pytest.fixture
async def start(new_settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., Any]]:
    """Start an API with these settings; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(**more: Any) -> Api:
            return await stack.enter_async_context(started(new_settings(**more)))

        yield start_one


@pytest.fixture
async def api(start: Callable[..., Any]) -> Api:
    running: Api = await start()
    return running


@pytest.fixture
def sqlite_settings(sqlite_url: str, redis_server: Any, tmp_path: Path) -> Settings:
    """Settings for what does not depend on the kind of database."""
    redis_server.process.revive()
    redis_server.flush()
    migrate(sqlite_url)
    return settings_of(sqlite_url, redis_server.url, tmp_path / "objects")


@pytest.fixture(scope="session")
def ssh_key() -> str:
    """A private key in OpenSSH form."""
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


@pytest.fixture
async def api_on_s3(sqlite_settings: Settings, s3_bucket: S3Bucket) -> AsyncIterator[Api]:
    place = {
        "s3_bucket": s3_bucket.name,
        "s3_endpoint_url": s3_bucket.endpoint_url,
        "s3_access_key_id": s3_bucket.access_key_id,
        "s3_secret_access_key": s3_bucket.secret_access_key,
    }
    given = {"database_url": sqlite_settings.database_url, "redis_url": sqlite_settings.redis_url}
    async with started(Settings(**given, **place, master_key=MASTER_KEY)) as api:  # type: ignore[arg-type]
        yield api
