"""API keys of the caller's team: make, list, revoke."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.responses import Response

from ansible_api.api import PREFIX, examples
from ansible_api.api.answers import answer
from ansible_api.api.body import json_body
from ansible_api.api.deps import Admin, Service
from ansible_api.api.openapi import problems, request_body
from ansible_api.errors import FieldError, InvalidRequest
from ansible_api.keys import store
from ansible_api.keys.schemas import ApiKeyList, ApiKeyView, MadeApiKey, NewApiKey
from ansible_api.routing import Queue

router = APIRouter(prefix=f"{PREFIX}/keys", tags=["keys"])


@router.post(
    "",
    status_code=201,
    response_model=MadeApiKey,
    openapi_extra=request_body(NewApiKey, examples.KEYS),
    responses=problems(400, 401, 403, 413, 415, 422, 503),
)
async def make_key(
    caller: Admin, service: Service, new: Annotated[NewApiKey, Depends(json_body(NewApiKey))]
) -> Response:
    """Make a key of your team. It is shown in this answer and never again."""
    _check(new)
    made = await service.db.write(_made, caller.team, new)
    return answer(made, 201, {"Location": f"{PREFIX}/keys/{made.id}", "Cache-Control": "no-store"})


def _check(new: NewApiKey) -> None:
    if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
        raise InvalidRequest(errors=[FieldError("/expires_at", "give a time in the future")])
    if Queue.DELIVERY in (new.queues or ()):
        raise InvalidRequest(errors=[FieldError("/queues", f"{Queue.DELIVERY} runs no jobs")])


def _made(session: Session, team: str, new: NewApiKey) -> MadeApiKey:
    row, key = store.create(
        session, team=team, name=new.name, role=new.role, queues=new.queues, expires_at=new.expires_at
    )
    return MadeApiKey(**ApiKeyView.model_validate(row).model_dump(), key=key.text)


@router.get("", response_model=ApiKeyList, responses=problems(401, 403, 503))
async def list_keys(caller: Admin, service: Service) -> Response:
    """The keys of your team, without the keys themselves."""
    rows = await service.db.read(store.list_keys, caller.team)
    return answer(ApiKeyList(items=[ApiKeyView.model_validate(row) for row in rows]))


@router.delete("/{key_id}", status_code=204, response_class=Response, responses=problems(401, 403, 404, 503))
async def revoke_key(caller: Admin, service: Service, key_id: str) -> Response:
    """Revoke a key: it is refused from now on."""
    await service.db.write(store.revoke, caller.team, key_id)
    return Response(status_code=204)
