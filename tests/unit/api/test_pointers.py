"""JSON Pointers name places that the caller wrote, and say nothing of the values there."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from ansible_api.api.pointers import field_errors, pointer
from ansible_api.errors import FieldError
from ansible_api.jobs.spec import JobSpec

SECRET = "hunter2-canary"
GOOD: dict[str, Any] = {
    "source": {"type": "playbook", "repo": "https://git.example.com/p.git", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1"]},
}


def errors_of(**changes: Any) -> list[FieldError]:
    document = {part: GOOD.get(part, {}) | change for part, change in changes.items()}
    document = {key: value for key, value in (GOOD | document).items() if value is not None}
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate_json(json.dumps(document))
    found = field_errors(caught.value.errors(include_url=False, include_input=False), document)
    assert SECRET not in " ".join(error.detail for error in found)
    return found


def places(**changes: Any) -> list[str]:
    return [error.pointer for error in errors_of(**changes)]


def test_slashes_and_tildes_are_escaped() -> None:
    assert pointer(["a/b", "c~d", 0, "~1"]) == "/a~1b/c~0d/0/~01"
    assert pointer([]) == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": {"path": 5}}, ["/source/path"]),
        ({"source": {"path": "../x"}}, ["/source/path"]),
        ({"source": {"path": ["a.yml", "-x", 7]}}, ["/source/path/1", "/source/path/2"]),
        ({"source": {"playbook": 1}}, ["/source/playbook"]),
        ({"source": {"type": SECRET}}, ["/source/type"]),
        ({"source": {"type": 3}}, ["/source/type"]),
        ({"inventory": {"hosts": []}}, ["/inventory"]),
        ({"inventory": {"hosts": ["ok", "-bad"]}}, ["/inventory/hosts/1"]),
        ({"inventory": {"host_vars": {"a/b": {}}}}, ["/inventory/host_vars/a~1b"]),
        ({"credentials": {"ssh": {"type": "hashicorp_vault"}}}, ["/credentials/ssh/vault_path"]),
        ({"credentials": {"ssh": f"-{SECRET}"}}, ["/credentials/ssh"]),
        ({"credentials": {"ssh": 5}}, ["/credentials/ssh"]),
        ({"credentials": {"cloud": {"type": "aws"}}}, ["/credentials/cloud/credential"]),
        ({"options": {"forks": "3", "bogus~": 1}}, ["/options/forks", "/options/bogus~0"]),
        ({"options": {"callback_url": SECRET}}, ["/options/callback_url"]),
    ],
)
def test_a_pointer_names_a_place_of_the_request(changes: dict[str, Any], expected: list[str]) -> None:
    assert places(**changes) == expected


def test_a_missing_field_is_named_where_it_should_be() -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate_json(json.dumps({"source": {"type": "playbook"}}))
    found = field_errors(caught.value.errors(), {"source": {"type": "playbook"}})
    assert [error.pointer for error in found] == ["/source/repo", "/source/path", "/inventory"]
    assert {error.detail for error in found} == {"required, but absent"}


def test_of_a_union_only_the_branch_that_came_closest_is_told() -> None:
    [error] = errors_of(source={"path": "../x"})
    assert "valid" not in error.detail
    assert "'..'" in error.detail


def test_when_no_branch_fits_all_are_told() -> None:
    [error] = errors_of(source={"path": 5})
    assert "string" in error.detail
    assert "array" in error.detail


def test_an_unknown_kind_is_answered_with_those_that_are_known() -> None:
    [error] = errors_of(source={"type": SECRET})
    assert error.detail == "use one of 'playbook', 'role', 'collection_role'"


def test_the_number_of_errors_is_bounded() -> None:
    assert len(errors_of(inventory={"hosts": ["-"] * 5000})) == 50
