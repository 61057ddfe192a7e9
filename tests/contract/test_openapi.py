"""The served OpenAPI document, and the forms of requests that the first draft promised."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from ansible_api.api.app import create_app
from ansible_api.jobs.service import check
from ansible_api.jobs.spec import JobSpec
from ansible_api.settings import Settings

FORMS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("seed_forms.json").read_text())
REST: dict[str, Any] = {
    "source": {"type": "playbook", "repo": "https://git.example.com/a.git", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1"]},
}
by_title = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form['part']} {form['title']}")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        database_url=SecretStr("sqlite:///x"),
        redis_url=SecretStr("redis://127.0.0.1:1"),
        master_key=SecretStr("1:" + base64.b64encode(bytes(32)).decode()),
        objects_dir=tmp_path_factory.mktemp("objects"),
    )


@pytest.fixture(scope="module")
def document(settings: Settings) -> dict[str, Any]:
    """What GET /openapi.json answers, through JSON."""
    served: dict[str, Any] = json.loads(json.dumps(create_app(settings).openapi()))
    return served


def validator(document: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = document["paths"].items()
    return [(f"{method} {path}", operation) for path, methods in found for method, operation in methods.items()]


@by_title
def test_a_form_of_the_first_draft_is_valid_by_the_document(document: dict[str, Any], form: dict[str, Any]) -> None:
    validator(document, "JobSpec").validate({**REST, form["part"]: form["value"]})


@by_title
def test_a_form_of_the_first_draft_is_taken(settings: Settings, form: dict[str, Any]) -> None:
    check(JobSpec.model_validate_json(json.dumps({**REST, form["part"]: form["value"]})), settings, None)


@pytest.mark.parametrize(
    "parts",
    [
        {"unknown": 1},
        {"source": {**REST["source"], "unknown": 1}},
        {"source": {**REST["source"], "type": "unknown"}},
        {"options": {"timeout": "soon"}},
        {"options": {"verbosity": 9}},
        {"inventory": {"type": "inline", "hosts": "web1"}},
    ],
)
def test_what_is_refused_is_not_valid_by_the_document_either(document: dict[str, Any], parts: dict[str, Any]) -> None:
    assert not validator(document, "JobSpec").is_valid({**REST, **parts})


def test_the_document_is_of_openapi_3_1_and_its_schemas_are_sound(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(document["info"])
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_operations_have_unique_names_a_summary_and_a_success(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for name, operation in operations(document):
        assert operation["summary"], name
        assert any(status.startswith("2") for status in operation["responses"]), name


def test_every_parameter_of_a_path_is_declared(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        declared = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
        assert declared == {part[1:-1] for part in name.split("/") if part.startswith("{")}, name


def test_every_example_of_a_body_or_answer_is_valid(document: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations(document):
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (media for content in contents for media in content.get("content", {}).values()):
            examples = [example["value"] for example in media.get("examples", {}).values()]
            for example in [*examples, *([media["example"]] if "example" in media else [])]:
                schema = {**media["schema"], "components": document["components"]}
                assert Draft202012Validator(schema).is_valid(example), f"{name}: {example}"
                checked += 1
    assert checked > 50
