"""Answers: models as JSON, with an ETag where callers look again and again."""

import hashlib
from collections.abc import Mapping

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

JSON = "application/json"


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The model as it stands: it is ours, so nothing is validated again."""
    return Response(model.model_dump_json(), status, headers, JSON)


def answer_with_etag(request: Request, model: BaseModel) -> Response:
    """The model, or 304 when the caller has it already (RFC 9110, 13.1.2)."""
    body = model.model_dump_json().encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=JSON)


def _matches(wanted: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (wanted or "").split(",")]
    return "*" in tags or etag in tags
