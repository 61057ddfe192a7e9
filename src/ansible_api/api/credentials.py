"""Credentials of the caller's team: store, replace, list, try out, remove; no value ever comes back."""

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from ansible_api.api import PREFIX, examples
from ansible_api.api.answers import answer
from ansible_api.api.body import json_body
from ansible_api.api.credential_tests import CredentialTest, try_out
from ansible_api.api.deps import Admin, Parts, Service, Submitter
from ansible_api.api.openapi import problems, request_body
from ansible_api.credentials import store
from ansible_api.credentials.addresses import address_errors
from ansible_api.credentials.fields import KINDS, Fields
from ansible_api.credentials.refs import CredentialName
from ansible_api.credentials.schemas import (
    CredentialList,
    CredentialReplacement,
    CredentialVerdict,
    CredentialView,
    KindList,
    KindView,
    NewCredential,
)
from ansible_api.egress import Policy
from ansible_api.errors import FieldError, InvalidRequest, NotFound
from ansible_api.jobs.secrets import uses

router = APIRouter(prefix=f"{PREFIX}/credentials", tags=["credentials"])
NameInPath = Annotated[CredentialName, Path()]


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
    _check_addresses(service, new.root)
    row = await service.db.write(store.create, service.cipher, caller.team, new)
    return answer(CredentialView.model_validate(row), 201)


@router.get("", response_model=CredentialList, responses=problems(401, 403, 503))
async def list_credentials(caller: Submitter, service: Service) -> Response:
    """Names and kinds of your team's credentials."""
    rows = await service.db.read(store.list_credentials, caller.team)
    return answer(CredentialList(items=[CredentialView.model_validate(row) for row in rows]))


@router.get("/kinds", response_model=KindList, responses=problems(401, 403, 503))
async def list_kinds(_caller: Submitter) -> Response:
    """Every kind of credential: what it holds, as JSON Schema, and where a request may name one."""
    return answer(KindList(items=[KindView.of(kind, uses(kind)) for kind in KINDS]))


@router.put(
    "/{name}",
    response_model=CredentialView,
    openapi_extra=request_body(CredentialReplacement, examples.CREDENTIALS),
    responses={
        200: {"description": "Replaced"},
        201: {"model": CredentialView, "description": "There was none of that name: stored"},
        **problems(400, 401, 403, 409, 413, 415, 422, 503),
    },
)
async def replace_credential(
    caller: Admin,
    service: Service,
    name: NameInPath,
    new: Annotated[CredentialReplacement, Depends(json_body(CredentialReplacement))],
) -> Response:
    """Store a credential, in the place of the one of that name; jobs that wait will use the new one."""
    if new.root.name not in (None, name):
        raise InvalidRequest(errors=[FieldError("/name", "not the name in the address: leave it out")])
    _check_addresses(service, new.root)
    row, is_new = await service.db.write(store.replace, service.cipher, caller.team, name, new.root)
    return answer(CredentialView.model_validate(row), 201 if is_new else 200)


@router.post(
    "/{name}/test",
    response_model=CredentialVerdict,
    openapi_extra=request_body(CredentialTest, examples.CREDENTIAL_TESTS),
    responses=problems(400, 401, 403, 404, 413, 415, 422, 503),
)
async def test_credential(
    caller: Admin,
    service: Service,
    name: str,
    test: Annotated[CredentialTest, Depends(json_body(CredentialTest, absent=b"{}"))],
) -> Response:
    """Say whether a credential works, by asking what it opens; without a body where its kind alone says whom."""
    found = await service.db.read(store.open_fields, service.cipher, caller.team, name)
    if found is None:
        raise NotFound("no such credential")
    verdict = await anyio.to_thread.run_sync(try_out, test, *found, service.settings, limiter=service.trials)
    return answer(CredentialVerdict.model_validate(verdict))


@router.delete("/{name}", status_code=204, response_class=Response, responses=problems(401, 403, 404, 503))
async def remove_credential(caller: Admin, service: Service, name: str) -> Response:
    """Remove a credential; jobs that wait with it will end with an error."""
    await service.db.write(store.remove, caller.team, name)
    return Response(status_code=204)


def _check_addresses(service: Parts, fields: Fields) -> None:
    if errors := address_errors(fields, Policy.of(service.settings)):
        raise InvalidRequest(errors=errors)
