"""Refusals as problem details (RFC 9457): the body, and which exception becomes which."""

from collections.abc import Mapping

import anyio
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ansible_api.api.pointers import parameter_errors
from ansible_api.errors import (
    AnsibleApiError,
    BodyTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
    Unavailable,
    UsageError,
)
from ansible_api.logs import get_logger

MEDIA_TYPE = "application/problem+json"
LINGER = 2.0
DEFAULT_HEADERS: Mapping[type[AnsibleApiError], Mapping[str, str]] = {
    Unauthenticated: {"WWW-Authenticate": "Bearer"},
    Unavailable: {"Retry-After": "5"},
}
log = get_logger(__name__)


class ProblemField(BaseModel):
    """One refused field."""

    model_config = ConfigDict(from_attributes=True)

    pointer: str = Field(description="JSON Pointer of the field; of a parameter: /query/… or /header/…")
    detail: str


class Problem(BaseModel):
    """Why a request was refused; `code` is stable, `detail` is for people."""

    type: str = Field(description="urn:ansible-api:problem:<code>")
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[ProblemField] = []


class LingeringResponse(Response):
    """The answer to a body that is not read: what still comes is dropped for a moment before the connection closes.

    Closing at once would reset the connection, and a client that is still sending would never see the answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with anyio.move_on_after(LINGER):
            while (await receive()).get("more_body", False):
                pass
        await send({"type": "http.response.body", "body": b""})


def install(app: FastAPI) -> None:
    """Have every refusal of the app answered with a problem."""
    app.add_exception_handler(AnsibleApiError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(HTTPException, _of_routing)


def problem(error: AnsibleApiError) -> Response:
    """The answer to a request that ended with that error."""
    body = Problem(
        type=f"urn:ansible-api:problem:{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=error.detail,
        request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
        errors=[ProblemField.model_validate(field) for field in error.errors],
    )
    headers = {**DEFAULT_HEADERS.get(type(error), {}), **error.headers}
    kind = LingeringResponse if isinstance(error, BodyTooLarge) else Response
    return kind(body.model_dump_json(), error.status, headers, MEDIA_TYPE)


async def _ours(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AnsibleApiError)  # noqa: S101 - tells mypy what the handler is installed for
    if error.status < 500:
        return problem(error)
    log.warning("request failed", code=error.code, detail=error.detail)
    # Only what is away is told; any other fault of ours is for the log.
    return problem(error if isinstance(error, Unavailable) else AnsibleApiError(AnsibleApiError.__doc__ or ""))


async def _invalid_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return problem(InvalidRequest(errors=parameter_errors(error.errors())))


async def _of_routing(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    match error.status_code:
        case 404:
            return problem(NotFound("there is nothing at this address: see /openapi.json", headers=error.headers))
        case 405:
            return problem(MethodNotAllowed(headers=error.headers))
        case _:
            return problem(UsageError(headers=error.headers))
