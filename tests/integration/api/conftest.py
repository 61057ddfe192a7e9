"""The API in this process: its own lifespan, real database, Redis and object directory behind it."""

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ansible_api.api.app import create_app
from ansible_api.api.deps import Parts
from ansible_api.db import Database
from ansible_api.keys import store as keys
from ansible_api.keys.model import Role
from ansible_api.schema import upgrade
from ansible_api.settings import Settings

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

    def client(self, role: Role = Role.SUBMITTER, *, team: str = "red", key: str | None = None) -> httpx.AsyncClient:
        """A client with a key of that role and team."""
        text = key or self.key(role, team=team)
        return self.stranger(headers={"Authorization": f"Bearer {text}"})

    def stranger(self, **more: Any) -> httpx.AsyncClient:
        """A client without any key."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api.test", **more)


OpenApi = Callable[..., Any]


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
    upgrade(database_url)

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
def sqlite_settings(sqlite_url: str, redis_server: Any, tmp_path: Path) -> Iterator[Settings]:
    """Settings for what does not depend on the kind of database."""
    redis_server.process.revive()
    redis_server.flush()
    upgrade(sqlite_url)
    yield settings_of(sqlite_url, redis_server.url, tmp_path / "objects")
