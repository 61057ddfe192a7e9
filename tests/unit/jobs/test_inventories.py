"""What a request may say about its inventories."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ansible_api.jobs.inventories import InlineInventory, Inventory

INVENTORY: TypeAdapter[Any] = TypeAdapter(Inventory)
URL = {"type": "url", "url": "https://cmdb.example.com/hosts"}


def refusal(**parts: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        INVENTORY.validate_python(parts)
    return str(caught.value)


GROUPS: dict[str, tuple[dict[str, Any], str]] = {
    "itself": ({"a": {"hosts": ["h"], "children": ["a"]}}, "its own child"),
    "a circle": (
        {"a": {"hosts": ["h"], "children": ["b"]}, "b": {"children": ["c"]}, "c": {"children": ["a"]}},
        "own child",
    ),
    "all below": ({"a": {"hosts": ["h"], "children": ["all"]}, "all": []}, "cannot hold the group all"),
    "a stranger": ({"a": {"hosts": ["h"], "children": ["b"]}}, "children that are not in groups: b"),
    "nobody": ({"a": {"children": ["b"]}, "b": []}, "at least one host"),
}


@pytest.mark.parametrize("name", GROUPS)
def test_groups_that_cannot_be_are_refused(name: str) -> None:
    groups, words = GROUPS[name]
    assert words in refusal(type="inline", groups=groups)


def test_groups_may_share_children_at_any_depth() -> None:
    groups = {"a": {"children": ["b", "c"]}, "b": {"children": ["d"]}, "c": {"children": ["d"]}, "d": ["h"]}
    inventory = INVENTORY.validate_python({"type": "inline", "groups": groups})
    assert isinstance(inventory, InlineInventory)
    assert inventory.all_hosts == ("h",)


def test_a_chain_of_a_thousand_groups_is_looked_through_quickly() -> None:
    groups: dict[str, Any] = {f"g{n}": {"children": [f"g{n + 1}"]} for n in range(1000)}
    INVENTORY.validate_python({"type": "inline", "groups": groups | {"g1000": ["h"]}})
    assert "own child" in refusal(type="inline", groups=groups | {"g1000": {"hosts": ["h"], "children": ["g0"]}})


def test_the_configuration_cannot_name_another_plugin() -> None:
    assert "leave it out" in refusal(type="dynamic", plugin="a.b.c", config={"plugin": "ansible.builtin.script"})
    INVENTORY.validate_python({"type": "dynamic", "plugin": "a.b.c", "config": {"plugin": "a.b.c"}})


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Connection", "Proxy-Authorization", "TE"]
)
def test_headers_of_the_connection_are_the_services_own(name: str) -> None:
    assert f"writes these headers itself: {name}" in refusal(**URL, headers={name: "x"})


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\x00", "ü"])
def test_header_values_are_one_line_of_ascii(value: str) -> None:
    assert "headers" in refusal(**URL, headers={"X": value})


def test_a_variable_in_a_header_wants_a_credential() -> None:
    assert "name the credential" in refusal(**URL, headers={"Authorization": "Bearer ${TOKEN}"})
    INVENTORY.validate_python(URL | {"headers": {"Authorization": "Bearer ${TOKEN}"}, "credential": "cmdb"})
    INVENTORY.validate_python(URL | {"headers": {"X": "$TOKEN ${} {TOKEN}"}})


@pytest.mark.parametrize("ttl", [0, -1, 86_401, 1.5, "60"])
def test_an_answer_is_kept_for_whole_seconds_up_to_a_day(ttl: Any) -> None:
    assert "cache_ttl" in refusal(**URL, cache_ttl=ttl)
