"""The composition root of the API: settings in, FastAPI app out; everything is opened in its lifespan."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio import to_thread
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from ansible_api import __version__, celery, redis, tracing
from ansible_api.api import (
    artifacts,
    credentials,
    deliveries,
    errors,
    health,
    jobs,
    keys,
    logs,
    openapi,
    queues,
    stream,
    webhooks,
)
from ansible_api.api.deps import Parts
from ansible_api.api.feed import Feeder
from ansible_api.api.metrics import QueueMetrics
from ansible_api.api.middleware import RequestContext
from ansible_api.api.publish import Publisher
from ansible_api.credentials import store as credential_store
from ansible_api.credentials.cipher import Cipher
from ansible_api.db import AsyncDatabase
from ansible_api.deliveries import secrets as webhook_secrets
from ansible_api.dispatch import CeleryQueue
from ansible_api.logs import configure_logs
from ansible_api.objects import open_store
from ansible_api.schema import check_current
from ansible_api.settings import Settings, load_settings

SUMMARY = "Runs Ansible for pipelines and other services."
# FastAPI's own would tell of exceptions and requests as they are, with what is secret in them; ours is in `tracing`.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_app(settings: Settings) -> FastAPI:
    """The API; it refuses to start (StartupError) on an old schema or with a wrong master key."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            tracing.start("ansible-api")
            stack.push_async_callback(to_thread.run_sync, tracing.stop)
            app.state.parts = await _open(settings, stack)
            yield

    app = FastAPI(
        title="ansible-api",
        version=__version__,
        summary=SUMMARY,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    app.state.settings = settings
    app.add_middleware(RequestContext)
    errors.install(app)
    openapi.install(app)
    for door in (jobs, artifacts, logs, stream, credentials, keys, deliveries, webhooks, queues, health):
        app.include_router(door.router)
    return app


def from_environment() -> FastAPI:
    """For `uvicorn --factory ansible_api.api.app:from_environment`."""
    settings = load_settings()
    configure_logs(settings.log_level)
    return create_app(settings)


async def _open(settings: Settings, stack: AsyncExitStack) -> Parts:
    cipher = Cipher.from_setting(settings.master_key)
    db = AsyncDatabase(settings.database_url.get_secret_value())
    stack.push_async_callback(db.close)
    await db.read(lambda session: check_current(session.connection()))
    await db.read(credential_store.check_master_key, cipher)
    await db.read(webhook_secrets.check_master_key, cipher)
    events = redis.async_client(settings.redis_url.get_secret_value())
    stack.push_async_callback(events.aclose)
    sender = celery.create_sender(settings)
    stack.callback(celery.dispose, sender)
    queue = CeleryQueue(sender)
    publisher = Publisher(queue, timeout=settings.broker_timeout)
    feeder = Feeder(db, publisher, settings)
    await stack.enter_async_context(feeder.running())
    return Parts(
        settings=settings,
        db=db,
        redis=events,
        objects=await stack.enter_async_context(open_store(settings)),
        cipher=cipher,
        queue=queue,
        publisher=publisher,
        feeder=feeder,
        queue_metrics=QueueMetrics(db, settings.queue_limits),
        probes=anyio.CapacityLimiter(1),
        trials=anyio.CapacityLimiter(4),
    )
