"""Queues and their workers: look, pause and resume, drain."""

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from ansible_api.api import PREFIX
from ansible_api.api.answers import answer
from ansible_api.api.deps import Operator, Service, Viewer
from ansible_api.api.openapi import problems
from ansible_api.errors import FieldError, InvalidRequest, NotFound
from ansible_api.jobs import queues, workers
from ansible_api.jobs.queues import QueueList, QueueView
from ansible_api.routing import JOB_QUEUES, Queue

router = APIRouter(prefix=PREFIX, tags=["queues"])


@router.get("/queues", response_model=QueueList, responses=problems(401, 403, 503))
async def list_queues(caller: Viewer, service: Service) -> Response:
    """What waits and runs in each queue, and which workers serve it; jobs of all teams count."""
    return answer(await service.db.read(queues.overview))


@router.post("/queues/{name}/pause", response_model=QueueView, responses=problems(401, 403, 422, 503))
async def pause(caller: Operator, service: Service, name: Queue) -> Response:
    """Let no job of the queue begin. Jobs are accepted and wait; those that run go on."""
    _runs_jobs(name)
    return answer(await service.db.write(_paused, name, caller.key_id))


@router.post("/queues/{name}/resume", response_model=QueueView, responses=problems(401, 403, 422, 503))
async def resume(caller: Operator, service: Service, name: Queue) -> Response:
    """Let jobs of the queue begin again."""
    _runs_jobs(name)
    shown = await service.db.write(_resumed, name)
    service.feeder.nudge(name)
    return answer(shown)


@router.post("/workers/{node}/drain", status_code=202, response_class=Response, responses=problems(401, 403, 404, 503))
async def drain(caller: Operator, service: Service, node: str) -> Response:
    """Have a worker take no more jobs; those that it runs go on."""
    if not await service.db.write(workers.drain, node):
        raise NotFound("no such worker; GET /queues lists them")
    return Response(status_code=202)


def _runs_jobs(queue: Queue) -> None:
    if queue not in JOB_QUEUES:
        raise InvalidRequest(
            errors=[FieldError("/path/name", f"{queue} runs no jobs: use one of {', '.join(JOB_QUEUES)}")]
        )


def _paused(session: Session, queue: Queue, key_id: str) -> QueueView:
    queues.pause(session, queue, key_id)
    session.flush()
    return queues.view(session, queue)


def _resumed(session: Session, queue: Queue) -> QueueView:
    queues.resume(session, queue)
    session.flush()
    return queues.view(session, queue)
