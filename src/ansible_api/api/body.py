"""Request bodies: read up to a limit, parsed as strict JSON, refused with pointers to the places."""

import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from ansible_api.api.pointers import field_errors
from ansible_api.errors import BodyTooLarge, InvalidRequest, MalformedBody, UnsupportedMediaType
from ansible_api.settings import Settings

DEEPEST = 30  # MariaDB's JSON functions take 32 levels
ModelT = TypeVar("ModelT", bound=BaseModel)


async def raw_body(request: Request) -> bytes:
    """The body, read only as far as the limit allows."""
    settings: Settings = request.app.state.settings
    limit = settings.body_limit
    # What is left unread would be taken for the next request: the connection cannot be used again.
    too_large = BodyTooLarge(f"the body is larger than {limit} bytes", headers={"Connection": "close"})
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    chunks, size = list[bytes](), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


RawBody = Annotated[bytes, Depends(raw_body)]


def json_body(model: type[ModelT], *, absent: bytes = b"") -> Callable[[Request, bytes], Awaitable[ModelT]]:
    """A dependency: the body as that model; `absent` stands for no body at all.

    Put it behind the caller, so that strangers' bodies are not read.
    """

    async def parsed(request: Request, raw: RawBody) -> ModelT:
        if raw:
            _check_media_type(request.headers.get("content-type"))
        raw = raw or absent
        document = parse(raw)
        try:
            # Opening a key takes a good part of a second, in which others are not to wait.
            if b"passphrase" in raw or b"\\u" in raw:
                return await anyio.to_thread.run_sync(model.model_validate_json, raw)
            return model.model_validate_json(raw)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise InvalidRequest(errors=field_errors(found, document)) from None

    return parsed


def parse(raw: bytes) -> Any:
    """The JSON document; MalformedBody says where it is broken."""
    try:
        document = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedBody(f"the body is not a JSON document in UTF-8: {error}") from None
    _check_values(document)
    return document


def _check_media_type(given: str | None) -> None:
    essence = (given or "application/json").partition(";")[0].strip().lower()
    if essence != "application/json" and not (essence.startswith("application/") and essence.endswith("+json")):
        raise UnsupportedMediaType


def _check_values(document: Any) -> None:
    """Refuse what the database's JSON columns cannot hold."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InvalidRequest(f"the body is nested more than {DEEPEST} levels deep")
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            raise InvalidRequest("the body has a number that is too large")
        level = [child for value in level for child in _children(value)]


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
