import math
from typing import Any

import pytest
import yaml

from ansible_api.execution.inventory_yaml import HEADER, Unsafe, Vaulted, to_yaml


class Tagged(tuple[str, str]):
    """A tag and its text."""


class Loader(yaml.SafeLoader):
    """Knows Ansible's tags."""


for tag in ("!unsafe", "!vault"):
    Loader.add_constructor(tag, lambda loader, node, tag=tag: Tagged((tag, node.value)))


def read(document: dict[str, Any]) -> Any:
    return yaml.load(to_yaml(document), Loader=Loader)


VALUES: dict[str, Any] = {
    "words that look like others": [
        "yes",
        "0123",
        "1e3",
        "null",
        "2020-01-01",
        "~",
        "",
        " ",
        "- a",
        "a: b",
        "#",
        "!vault x",
    ],
    "white space": "a\n b\t\r\n\n c ",
    "quotes": "\"'\\ \\n",
    "strange characters": "ü☃\x00\x1b\x7f\x85\u2028\u2029\ufeff\uffff\U0001f600",
    "numbers": [0, -7, 10**30, 1.5, -0.0, 1e20, 1e-7, 1.5e300],
    "others": [None, True, False, [], {}, [[{}]]],
    "deep": {"a": {"b": [{"c": "{{ d }}"}]}},
    "like Ansible's marks": {"__ansible_unsafe": "x", "__ansible_vault": 3},
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were(name: str) -> None:
    assert read({"value": VALUES[name]}) == {"value": VALUES[name]}


def test_special_numbers_come_back() -> None:
    back = read({"value": [math.inf, -math.inf, math.nan]})["value"]
    assert back[:2] == [math.inf, -math.inf]
    assert math.isnan(back[2])


def test_text_that_is_no_template_and_encrypted_text_are_tagged() -> None:
    back = read({"a": Unsafe("{{ x }}"), "b": [Vaulted("$ANSIBLE_VAULT;1.1;AES256\n6162\n")], "c": "{{ y }}"})
    assert back == {"a": ("!unsafe", "{{ x }}"), "b": [("!vault", "$ANSIBLE_VAULT;1.1;AES256\n6162\n")], "c": "{{ y }}"}


@pytest.mark.parametrize("key", ["{{ x }}", "a {% y %}", "{# z #}"])
def test_a_key_is_never_a_template(key: str) -> None:
    assert read({key: 1, "plain": 2}) == {("!unsafe", key): 1, "plain": 2}


@pytest.mark.parametrize("key", ["<<", "plugin", "k" * 400, "k" * 5000, "é" * 3000, "{{" + "k" * 2000, "", "? a: [b"])
def test_keys_of_every_length_and_kind_are_read_as_one_key(key: str) -> None:
    (read_key,) = read({key: {"x": 1}})
    assert read_key in (key, ("!unsafe", key))


def test_a_lone_half_of_a_character_does_not_break_the_file() -> None:
    assert "\\ud800" in to_yaml({"a": "\ud800"})
    to_yaml({"a": "\ud800"}).encode()


def test_ansibles_json_reader_cannot_take_it_for_json() -> None:
    assert to_yaml({}).startswith(HEADER)
    assert HEADER.startswith("#")
