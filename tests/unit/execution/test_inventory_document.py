from typing import Any

import pytest
import yaml
from tests.unit.execution.test_inventory_yaml import Loader

from ansible_api.errors import JobError
from ansible_api.execution import inventory_document
from ansible_api.execution.inventory_document import check_ini, check_yaml, convert_json


def converted(text: str) -> Any:
    return yaml.load(convert_json(text), Loader=Loader)


GOOD_YAML = [
    "all: {hosts: {a: }}",
    "---\nall:\n  vars: &v {x: 1}\n  children: {g: {vars: *v}}\n",
    "'all': {vars: {plugin: 1, <<: {a: b}}}",
    '"web": {hosts: {plugin: }}',
    "? all\n: {hosts: {a: }}\n",
    "a: plugin\n",
    "!!str all: {}",
]


@pytest.mark.parametrize("text", GOOD_YAML)
def test_a_yaml_inventory_is_passed_on_as_it_is(text: str) -> None:
    assert check_yaml(text) == text


BAD_YAML = {
    "plugin: x": "names a plugin",
    "'plugin': x": "names a plugin",
    '"pl\\u0075gin": x': "names a plugin",
    "? plugin\n: x": "names a plugin",
    "a: {}\nplugin: x": "names a plugin",
    "a: [1, {b: c}]\nx: {y: [z]}\nplugin: auto": "names a plugin",
    "!!str plugin: x": "names a plugin",
    "!foo plugin: x": "not plain text",
    "!!binary cGx1Z2lu: x": "not plain text",
    "a: &p plugin\n*p : x": "not plain text",
    "? [plugin]\n: x": "not plain text",
    "<<: {plugin: x}": "merges mappings",
    "a: &m {plugin: x}\n<<: *m": "merges mappings",
    "- a": "not a YAML mapping",
    "a": "not a YAML mapping",
    "&a a": "not a YAML mapping",
    "*a": "not a YAML mapping",
    "a: *b": "aliases",
    "{": "not YAML in line",
    "a: b: c": "not YAML in line 1",
    "a: 1\n---\nplugin: x": "several YAML documents",
    "a: \x00": "not YAML",
    "": "empty",
    "# nothing": "empty",
    "a: " + "[" * 100_000: "not YAML",
}


@pytest.mark.parametrize("text", BAD_YAML)
def test_what_is_no_yaml_inventory_or_chooses_a_plugin_is_refused(text: str) -> None:
    with pytest.raises(JobError) as caught:
        check_yaml(text)
    assert caught.value.job_code == "inventory_invalid"
    assert BAD_YAML[text] in caught.value.detail


def test_aliases_are_counted_and_not_written_out() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 5)]
    check_yaml("\n".join(levels))
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(5, 40)]
    with pytest.raises(JobError, match="aliases"):
        check_yaml("\n".join(levels))
    with pytest.raises(JobError, match="aliases"):
        check_yaml("all: &a {vars: {x: *a}}")


def test_in_the_form_of_scripts_every_text_is_data() -> None:
    text = """{
        "_meta": {"hostvars": {"a": {"x": "{{ 1 }}", "n": 1, "deep": [{"k": "v"}]}, "stranger": {"y": 1}}},
        "all": {"vars": {"v": "w"}, "children": ["web"]},
        "web": {"hosts": ["a"], "children": ["db"], "vars": {"u": null}},
        "db": ["b"]
    }"""
    assert converted(text) == {
        "all": {
            "hosts": {"a": {"x": ("!unsafe", "{{ 1 }}"), "n": 1, "deep": [{"k": ("!unsafe", "v")}]}, "b": {}},
            "vars": {"v": ("!unsafe", "w")},
            "children": {
                "web": {"hosts": {"a": None}, "children": {"db": None}, "vars": {"u": None}},
                "db": {"hosts": {"b": None}, "children": {}, "vars": {}},
            },
        }
    }


def test_in_the_form_of_yaml_inventories_templates_are_templates() -> None:
    document = converted('{"all": {"hosts": {"a": {"x": "{{ y }}"}}, "children": {"g": {"hosts": {"b": null}}}}}')
    assert document["all"]["hosts"] == {"a": {"x": "{{ y }}"}}


BAD_JSON = {
    "": "not JSON",
    "all: {}": "not JSON",
    "[]": "not a JSON object",
    "7": "not a JSON object",
    '{"plugin": "x"}': "names a plugin",
    '{"_meta": [], "g": ["a"]}': "_meta' is not an object",
    '{"_meta": {"hostvars": []}, "g": ["a"]}': "is not an object",
    '{"_meta": {"hostvars": {"a": "x"}}, "g": ["a"]}': "is not an object",
    '{"g": ["a"], "h": "b"}': "is not an object",
    '{"g": [1]}': "not a name",
    '{"g": {"hosts": ["a"], "hots": []}}': "not only hosts, children, vars",
    '{"g": ["{{ x }}"]}': "cannot be the name",
    '{"g{{": ["x"]}': "cannot be the name",
    '{"g": ["a[1:9]"]}': "cannot be the name",
    "[" * 100_000: "not JSON",
}


@pytest.mark.parametrize("text", BAD_JSON)
def test_what_is_no_json_inventory_is_refused(text: str) -> None:
    with pytest.raises(JobError) as caught:
        convert_json(text)
    assert caught.value.job_code == "inventory_invalid"
    assert BAD_JSON[text] in caught.value.detail


def test_ini_is_passed_on_unless_it_is_plainly_something_else() -> None:
    good = "# c\n; d\n\na\n[web]\nb x=1 y='{{ z }}'\n[web:vars]\nk={\"a\": 1}\n[top:children]\nweb\n"
    assert check_ini(good) == good
    for text in ("---\na\n", "<p>", "{}", "a\nall:\n", "- a"):
        with pytest.raises(JobError, match="not INI in line"):
            check_ini(text)


@pytest.mark.parametrize("form", ['{{"a": {}}}', '{{"_meta": {{}}, "all": {{"vars": {{"a": {}}}}}}}'])
def test_json_that_would_take_minutes_to_write_is_refused(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobError, match="nested too deeply"):
        convert_json(form.format("[" * 150 + "]" * 150))
    monkeypatch.setattr(inventory_document, "MOST_NODES", 1000)
    convert_json(form.format('{"hosts": {"h": {"x": [' + "1," * 900 + "1]}}}"))
    with pytest.raises(JobError, match="too many values"):
        convert_json(form.format('{"hosts": {"h": {"x": [' + "1," * 1000 + "1]}}}"))
