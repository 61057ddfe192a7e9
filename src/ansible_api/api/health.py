"""Probes and metrics: alive, ready to serve, and what Prometheus reads."""

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
from anyio import to_thread
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import text
from starlette.responses import Response

from ansible_api.api.answers import answer
from ansible_api.api.deps import Parts, Service
from ansible_api.errors import AnsibleApiError
from ansible_api.logs import get_logger

router = APIRouter(tags=["health"])
LIMIT = 2.0  # for each part
log = get_logger(__name__)
State = Literal["ok", "away"]


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Which parts answer."""

    status: Literal["ready", "not ready"]
    database: State
    broker: State
    storage: State


@router.get("/health", response_model=Health)
async def health() -> Response:
    """This process answers."""
    return answer(Health())


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness, "description": "a part is away"}})
async def ready(service: Service) -> Response:
    """Database, broker and storage answer, each within two seconds."""
    states: dict[str, State] = {}
    async with anyio.create_task_group() as tasks:
        for name, check in _checks(service).items():
            tasks.start_soon(_probe, name, check, states)
    all_ok = set(states.values()) == {"ok"}
    report = Readiness(status="ready" if all_ok else "not ready", **states)
    return answer(report, 200 if all_ok else 503)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(service: Service) -> Response:
    """Metrics of this process and of the queues, in Prometheus' text format."""
    return Response(generate_latest() + await service.queue_metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _checks(service: Parts) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "database": lambda: service.db.read(lambda session: session.execute(text("SELECT 1"))),
        "broker": lambda: to_thread.run_sync(service.queue.check, abandon_on_cancel=True, limiter=service.probes),
        "storage": service.objects.check,
    }


async def _probe(name: str, check: Callable[[], Awaitable[object]], states: dict[str, State]) -> None:
    states[name] = "away"
    with anyio.move_on_after(LIMIT):
        try:
            await check()
            states[name] = "ok"
        except (AnsibleApiError, OSError) as error:
            log.warning("not ready", part=name, reason=str(error))
