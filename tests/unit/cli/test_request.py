"""Building the request from a file and flags."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ansible_api.cli.exits import CommandError
from ansible_api.cli.request import Flags, build, extra_vars, inline_inventory, labels, read_mapping, split
from ansible_api.jobs.spec import JobSpec

FILE = {
    "source": {"type": "playbook", "repo": "https://git.example.com/a.git", "path": "site.yml", "branch": "main"},
    "inventory": {"type": "inline", "hosts": ["old"]},
    "extra_vars": {"kept": 1, "changed": 1},
    "options": {"timeout": 60, "forks": 2},
}


def flags(
    hosts: tuple[str, ...] = (), groups: tuple[str, ...] = (), extra: tuple[str, ...] = (), **said: dict[str, object]
) -> Flags:
    return Flags(said.get("source", {}), hosts, groups, said.get("credentials", {}), extra, said.get("options", {}))


def test_flags_alone_make_a_valid_request() -> None:
    body = build(
        {},
        flags(
            ("web1", "web2"),
            ("web=web1,web2",),
            ("release=7",),
            source={"repo": "https://git.example.com/a.git", "path": ["a.yml", "b.yml"], "branch": None},
            credentials={"ssh": "key", "become_password": None},
            options={"tags": ["deploy"], "check_mode": True, "timeout": None},
        ),
    )
    assert TypeAdapter(JobSpec).validate_python(body)
    assert body == {
        "source": {"type": "playbook", "repo": "https://git.example.com/a.git", "path": ["a.yml", "b.yml"]},
        "inventory": {"type": "inline", "hosts": ["web1", "web2"], "groups": {"web": ["web1", "web2"]}},
        "credentials": {"ssh": "key"},
        "extra_vars": {"release": "7"},
        "options": {"tags": ["deploy"], "check_mode": True},
    }


def test_a_file_alone_is_sent_as_it_is() -> None:
    assert build(FILE, flags()) == FILE


def test_flags_win_over_the_file_field_by_field() -> None:
    body = build(FILE, flags(("new",), (), ("changed=2",), source={"branch": "v2"}, options={"timeout": 5}))
    assert body["source"] == FILE["source"] | {"branch": "v2"}
    assert body["inventory"] == {"type": "inline", "hosts": ["new"]}
    assert body["extra_vars"] == {"kept": 1, "changed": "2"}
    assert body["options"] == {"timeout": 5, "forks": 2}


def test_another_form_of_source_in_the_file_keeps_its_type() -> None:
    file = FILE | {"source": {"type": "role", "repo": "https://git.example.com/a.git", "path": "roles/x"}}
    assert build(file, flags(source={"branch": "v2"}))["source"]["type"] == "role"


@pytest.mark.parametrize(("missing", "remedy"), [("source", "--repo and --path"), ("inventory", "--host")])
def test_what_is_missing_is_named_with_its_remedy(missing: str, remedy: str) -> None:
    body = {name: value for name, value in FILE.items() if name != missing}
    with pytest.raises(CommandError, match=remedy):
        build(body, flags())


def test_extra_vars_come_as_text_json_or_file(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("from: file\nday: 2026-01-15\n")
    assert extra_vars(["a=1", '{"b": [2]}', f"@{file}", "c=x=y"]) == {
        "a": "1",
        "b": [2],
        "from": "file",
        "day": "2026-01-15",
        "c": "x=y",
    }


@pytest.mark.parametrize("wrong", ["novalue", "=x", "a b=c", "{broken", "@/nowhere"])
def test_a_wrong_extra_var_is_refused(wrong: str) -> None:
    with pytest.raises(CommandError, match="--extra-var"):
        extra_vars([wrong])


@pytest.mark.parametrize("text", ['{"a": {"b": 1}}', "a:\n  b: 1\n", '{\n\t"a": {"b": 1}}'])
def test_a_file_may_be_json_or_yaml(tmp_path: Path, text: str) -> None:
    file = tmp_path / "job"
    file.write_text(text)
    assert read_mapping(str(file), "--file") == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "neither JSON nor YAML, line"),
        (b"- a\n- b\n", "give a mapping"),
        (b"", "give a mapping"),
        (b"\xff\xfe", "not UTF-8"),
        (b"!!python/object/apply:os.system ['false']", "neither JSON nor YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "job"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        read_mapping(str(file), "--file")


def test_a_group_needs_a_name_and_hosts() -> None:
    assert inline_inventory([], ["web=a,b"]) == {"type": "inline", "groups": {"web": ["a", "b"]}}
    with pytest.raises(CommandError, match="NAME=HOST"):
        inline_inventory([], ["web"])


def test_lists_may_be_repeated_or_have_commas() -> None:
    assert split(["a,b", "c"]) == ["a", "b", "c"]
    assert split([]) is None


def test_labels_are_names_with_values() -> None:
    assert labels(["env=prod", "url=a=b", "empty="]) == {"env": "prod", "url": "a=b", "empty": ""}
    assert labels([]) is None
    with pytest.raises(CommandError, match="--label env: give NAME=VALUE"):
        labels(["env"])
