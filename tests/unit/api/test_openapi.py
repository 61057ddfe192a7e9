"""The OpenAPI document says what the handlers do."""

import base64
from pathlib import Path
from typing import Any

import pytest

from ansible_api.api import examples
from ansible_api.api.app import create_app
from ansible_api.credentials.model import Kind
from ansible_api.jobs.schemas import JobView
from ansible_api.jobs.spec import JobSpec
from ansible_api.keys.schemas import NewApiKey
from ansible_api.settings import Settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory: Path = tmp_path_factory.mktemp("objects")
    given = {"database_url": "sqlite:///x", "redis_url": "redis://x", "objects_dir": directory}
    return create_app(Settings(**given, master_key="1:" + base64.b64encode(bytes(32)).decode())).openapi()  # type: ignore[arg-type]


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = document["paths"].items()
    return [(f"{method} {path}", operation) for path, methods in found for method, operation in methods.items()]


def test_every_call_of_the_api_is_there(document: dict[str, Any]) -> None:
    v1 = "/api/v1"
    assert {name for name, _ in operations(document)} == {
        f"post {v1}/jobs", f"get {v1}/jobs", f"get {v1}/jobs/{{job_id}}", f"delete {v1}/jobs/{{job_id}}",
        f"post {v1}/jobs/{{job_id}}/relaunch",
        f"get {v1}/jobs/{{job_id}}/artifacts", f"get {v1}/jobs/{{job_id}}/artifacts/{{name}}",
        f"post {v1}/jobs/{{job_id}}/cancel", f"get {v1}/jobs/{{job_id}}/stream", f"get {v1}/jobs/{{job_id}}/logs",
        f"get {v1}/jobs/{{job_id}}/events", f"get {v1}/jobs/{{job_id}}/hosts", f"get {v1}/jobs/{{job_id}}/deliveries",
        f"get {v1}/deliveries/{{delivery_id}}", f"post {v1}/deliveries/{{delivery_id}}/redeliver",
        f"post {v1}/credentials", f"get {v1}/credentials", f"delete {v1}/credentials/{{name}}",
        f"get {v1}/credentials/kinds", f"put {v1}/credentials/{{name}}", f"post {v1}/credentials/{{name}}/test",
        f"post {v1}/keys", f"get {v1}/keys", f"delete {v1}/keys/{{key_id}}",
        f"post {v1}/webhook-secrets", f"get {v1}/webhook-secrets",
        f"get {v1}/queues", f"post {v1}/queues/{{name}}/pause", f"post {v1}/queues/{{name}}/resume",
        f"post {v1}/workers/{{node}}/drain", "get /health", "get /ready", "get /metrics",
    }  # fmt: skip


def test_every_call_with_a_key_tells_its_refusals_as_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "/api/v1" not in name:
            continue
        assert operation["security"] == [{"HTTPBearer": []}], name
        refusals = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert {"401", "403", "503"} <= set(refusals), name
        for answer in refusals.values():
            assert list(answer["content"]) == ["application/problem+json"], name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    wanted = _references(document)
    assert {reference.removeprefix("#/components/schemas/") for reference in wanted} <= set(schemas)
    assert "HTTPValidationError" not in schemas


def _references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in part.values()))
    return set().union(*(_references(value) for value in part)) if isinstance(part, list) else set()


def test_every_example_is_valid() -> None:
    for example in examples.JOBS.values():
        JobSpec.model_validate(example["value"])
    for example in examples.KEYS.values():
        NewApiKey.model_validate(example["value"])
    JobView.model_validate(examples.JOB_QUEUED)
    assert {example["value"]["kind"] for example in examples.CREDENTIALS.values()} == set(Kind)
