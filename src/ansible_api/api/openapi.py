"""The OpenAPI document: bodies that the handlers parse themselves, and the problems that calls answer."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ansible_api import __version__, errors
from ansible_api.api import PREFIX
from ansible_api.api.credential_tests import CredentialTest
from ansible_api.api.errors import MEDIA_TYPE, Problem
from ansible_api.api.examples import DELIVERY, DELIVERY_AGAIN, JOB_QUEUED
from ansible_api.credentials.schemas import CredentialReplacement, NewCredential
from ansible_api.jobs.relaunch import Relaunch
from ansible_api.jobs.spec import JobSpec
from ansible_api.keys.schemas import NewApiKey

REF = "#/components/schemas/{model}"
BODIES = (JobSpec, Relaunch, NewCredential, CredentialReplacement, CredentialTest, NewApiKey)
WHOLE_EXAMPLES: Mapping[tuple[str, str, str], Mapping[str, Any]] = {
    ("/jobs", "post", "202"): JOB_QUEUED,
    ("/deliveries/{delivery_id}", "get", "200"): DELIVERY,
    ("/deliveries/{delivery_id}/redeliver", "post", "202"): DELIVERY_AGAIN,
}
PROBLEMS: Mapping[int, tuple[type[errors.AnsibleApiError], ...]] = {
    400: (errors.MalformedBody,),
    401: (errors.Unauthenticated,),
    403: (errors.Forbidden,),
    404: (errors.NotFound,),
    409: (errors.Conflict,),
    410: (errors.Expired,),
    413: (errors.BodyTooLarge,),
    415: (errors.UnsupportedMediaType,),
    416: (errors.RangeNotSatisfiable,),
    422: (errors.InvalidRequest, errors.IdempotencyMismatch),
    503: (errors.Unavailable,),
}


def install(app: FastAPI) -> None:
    """Have /openapi.json say what this module knows."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def request_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """For `openapi_extra` of a route whose handler takes `json_body(model)`; the model stands in BODIES."""
    content = {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}, "examples": dict(examples)}}
    return {"requestBody": {"required": True, "content": content}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses` of a route: the refusals that it may answer."""
    return {status: _problem_response(*PROBLEMS[status]) for status in statuses}


def _problem_response(*kinds: type[errors.AnsibleApiError]) -> dict[str, Any]:
    examples = {kind.code: {"summary": kind.title, "value": _problem(kind)} for kind in kinds}
    content = {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}, "examples": examples}}
    return {"description": " or ".join(kind.title for kind in kinds), "content": content}


def _problem(kind: type[errors.AnsibleApiError]) -> dict[str, Any]:
    fields = [{"pointer": "/source/path", "detail": "required, but absent"}] if kind is errors.InvalidRequest else []
    return {
        "type": f"urn:ansible-api:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "detail": (kind.__doc__ or "").strip(),
        "request_id": "5f0c1e8a9b7d4c2e3f6a1b0d",
        "errors": fields,
    }


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=__version__, summary=app.summary, routes=app.routes, tags=app.openapi_tags
    )
    models = [(model, "validation") for model in BODIES] + [(Problem, "serialization")]
    _, definitions = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]
    document["components"]["schemas"] |= definitions["$defs"]
    _drop_foreign_refusals(document)
    # FastAPI leaves every null out, also those that make an example whole.
    for (path, method, status), example in WHOLE_EXAMPLES.items():
        response = document["paths"][f"{PREFIX}{path}"][method]["responses"][status]
        response["content"]["application/json"]["example"] = dict(example)
    return document


def _drop_foreign_refusals(document: dict[str, Any]) -> None:
    """FastAPI adds its own 422 to every call with a parameter in its path; ours says it where it can happen."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {}):
                operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
