"""Credentials of the caller's team: store, list, remove; no value ever comes back."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from ansible_api.api import PREFIX, examples
from ansible_api.api.answers import answer
from ansible_api.api.body import json_body
from ansible_api.api.deps import Admin, Service, Submitter
from ansible_api.api.openapi import problems, request_body
from ansible_api.credentials import store
from ansible_api.credentials.schemas import CredentialList, CredentialView, NewCredential

router = APIRouter(prefix=f"{PREFIX}/credentials", tags=["credentials"])


@router.post(
    "",
    status_code=201,
    response_model=CredentialView,
    openapi_extra=request_body(NewCredential, examples.CREDENTIALS),
    responses=problems(400, 401, 403, 409, 413, 415, 422, 503),
)
async def create_credential(
    caller: Admin, service: Service, new: Annotated[NewCredential, Depends(json_body(NewCredential))]
) -> Response:
    """Store a credential, encrypted; jobs name it."""
    row = await service.db.write(store.create, service.cipher, caller.team, new)
    return answer(CredentialView.model_validate(row), 201)


@router.get("", response_model=CredentialList, responses=problems(401, 403, 503))
async def list_credentials(caller: Submitter, service: Service) -> Response:
    """Names and kinds of your team's credentials."""
    rows = await service.db.read(store.list_credentials, caller.team)
    return answer(CredentialList(items=[CredentialView.model_validate(row) for row in rows]))


@router.delete("/{name}", status_code=204, response_class=Response, responses=problems(401, 403, 404, 503))
async def remove_credential(caller: Admin, service: Service, name: str) -> Response:
    """Remove a credential; jobs that wait with it will end with an error."""
    await service.db.write(store.remove, caller.team, name)
    return Response(status_code=204)
