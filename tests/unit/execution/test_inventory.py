import stat
from pathlib import Path
from typing import Any

import yaml

from ansible_api.execution.inventory_files import as_tree, write_inline
from ansible_api.jobs.inventories import InlineInventory


def inline(**parts: Any) -> InlineInventory:
    return InlineInventory.model_validate({"type": "inline", **parts})


def test_hosts_groups_and_variables_become_a_static_inventory() -> None:
    tree = as_tree(
        inline(
            hosts=["lone"],
            groups={"web": ["w1", "w2"], "db": ["d1"]},
            host_vars={"w1": {"port": 80}},
            group_vars={"web": {"tier": "front"}, "all": {"env": "test"}, "ungrouped": {"alone": True}},
        )
    )
    assert tree == {
        "all": {
            "hosts": {"lone": {}, "w1": {"port": 80}, "w2": {}, "d1": {}},
            "vars": {"env": "test"},
            "children": {
                "web": {"hosts": {"w1": None, "w2": None}, "vars": {"tier": "front"}},
                "db": {"hosts": {"d1": None}},
                "ungrouped": {"vars": {"alone": True}},
            },
        }
    }


def test_a_group_called_all_adds_its_hosts_only() -> None:
    tree = as_tree(inline(groups={"all": ["a", "b"]}))
    assert tree == {"all": {"hosts": {"a": {}, "b": {}}, "children": {}}}


def test_the_order_of_hosts_is_kept(tmp_path: Path) -> None:
    text = write_inline(inline(hosts=["z", "a", "m"]), tmp_path).read_text()
    assert list(yaml.safe_load(text)["all"]["hosts"]) == ["z", "a", "m"]


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    values = {
        "text": "yes",
        "number": "0123",
        "template": "{{ lookup('env', 'HOME') }}",
        "tag": "!vault |",
        "unicode": "ü☃\x7f\u2028\U0001f600",
        "lines": "a\n b\n",
        "deep": [{"a": [1, 2.5, None, True]}],
        "__ansible_unsafe": "kept",
        "same": [[1], [1]],
    }
    path = write_inline(inline(hosts=["h"], host_vars={"h": values}), tmp_path)
    assert yaml.safe_load(path.read_text())["all"]["hosts"]["h"] == values
    assert "&id" not in path.read_text()


def test_the_file_is_private_and_never_executable(tmp_path: Path) -> None:
    path = write_inline(inline(hosts=["h"]), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.suffix == ".yml"
