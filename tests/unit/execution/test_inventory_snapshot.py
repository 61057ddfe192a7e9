import json
from typing import Any

import pytest
import yaml
from tests.unit.execution.test_inventory_yaml import Loader

from ansible_api.errors import JobError
from ansible_api.execution.inventory_snapshot import Members, Tree, misread, snapshot_of
from ansible_api.jobs.inventories import InlineInventory


def listing(order: list[str], hostvars: dict[str, Any] | None = None, **groups: Any) -> bytes:
    meta = {"order": order, "hostvars": hostvars or {}, "profile": "inventory_legacy"}
    return json.dumps({"_meta": meta, **groups}).encode()


def test_hosts_keep_their_order_and_groups_their_members_and_variables() -> None:
    snapshot = snapshot_of(
        listing(
            ["z", "a", "m"],
            {"a": {"x": {"__ansible_unsafe": "{{ no }}"}, "y": "{{ yes }}"}},
            all={"children": ["ungrouped", "web"], "vars": {"v": {"__ansible_vault": "$ANSIBLE_VAULT"}}},
            ungrouped={"hosts": ["z"]},
            web={"children": ["front"], "vars": {"deep": [{"__ansible_unsafe": "u"}]}},
            front={"hosts": ["m", "a"]},
        )
    )
    whole = yaml.load(snapshot.text, Loader=Loader)["all"]
    assert list(whole["hosts"]) == ["z", "a", "m"]
    assert whole["hosts"]["a"] == {"x": ("!unsafe", "{{ no }}"), "y": "{{ yes }}"}
    assert whole["vars"] == {"v": ("!vault", "$ANSIBLE_VAULT")}
    assert list(whole["children"]) == ["ungrouped", "web", "front"]
    assert whole["children"]["web"] == {"hosts": {}, "children": {"front": None}, "vars": {"deep": [("!unsafe", "u")]}}
    assert list(whole["children"]["front"]["hosts"]) == ["m", "a"]
    assert snapshot.tree.groups["web"] == Members((), ("front",))


@pytest.mark.parametrize("mark", [{"__ansible_unsafe": 5}, {"__ansible_unsafe": "a", "b": 1}, {"__ansible_other": "a"}])
def test_only_ansibles_own_marks_are_taken_for_them(mark: dict[str, Any]) -> None:
    snapshot = snapshot_of(listing(["a"], {"a": {"x": mark}}))
    assert yaml.load(snapshot.text, Loader=Loader)["all"]["hosts"]["a"]["x"] == mark


@pytest.mark.parametrize(
    "name", ["a[1:3]", "h:22", "[::1]:22", "", "{{ x }}", "a{% b", "{#", "a\nb", "a\x00", "\u2028", "x[a:c]y", "a:1"]
)
def test_a_name_that_would_become_another_one_is_refused(name: str) -> None:
    for document in (
        listing([name]),
        listing(["a"], **{name: {"hosts": ["a"]}}),
        listing(["a"], g={"children": [name]}),
    ):
        with pytest.raises(JobError, match="cannot be the name") as caught:
            snapshot_of(document)
        assert caught.value.job_code == "inventory_invalid"


@pytest.mark.parametrize(
    "name", ["a", "My VM (1)", "10.0.0.1", "2001:db8::1", "ü", "a[1]", "x:y", "a" * 300, "-x", "{a}"]
)
def test_other_names_are_taken_as_they_are(name: str) -> None:
    assert not misread(name)
    assert snapshot_of(listing([name])).tree.hosts == (name,)


def test_the_tree_comes_back_from_its_json() -> None:
    tree = Tree(("a", "b"), {"g": Members(("a",), ("h",)), "h": Members()})
    assert Tree.from_json(json.loads(json.dumps(tree.as_json()))) == tree


def test_all_hosts_below_a_group_are_found_once_also_in_a_loop() -> None:
    groups = {"g": Members(("a",), ("h", "i")), "h": Members(("b",), ("i",)), "i": Members(("a", "c"), ("g",))}
    tree = Tree(("a", "b", "c", "d"), groups)
    assert tree.below("g") == {"a", "b", "c"}
    assert tree.below("all") == {"a", "b", "c", "d"}
    assert tree.below("none") == set()


def test_the_tree_of_a_request_knows_who_is_in_no_group() -> None:
    groups = {"web": ["b"], "all": ["c"], "both": {"children": ["web"]}, "ungrouped": ["b", "d"]}
    inventory = InlineInventory.model_validate({"type": "inline", "hosts": ["a"], "groups": groups})
    tree = Tree.of_inline(inventory)
    assert tree.hosts == ("a", "b", "c", "d")
    assert tree.groups["ungrouped"].hosts == ("a", "c", "d")
    assert tree.below("both") == {"b"}
