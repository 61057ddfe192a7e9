"""What a request may say."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.text import repo_scheme

PLAYBOOK = {"type": "playbook", "repo": "https://git.example.com/a.git", "path": "site.yml"}
INLINE = {"type": "inline", "hosts": ["web1"]}


def spec(**parts: Any) -> JobSpec:
    return JobSpec.model_validate_json(json.dumps({"source": PLAYBOOK, "inventory": INLINE} | parts))


@pytest.mark.parametrize(
    ("repo", "scheme"),
    [
        ("https://git.example.com/a.git", "https"),
        ("ssh://git@git.example.com:2222/a.git", "ssh"),
        ("git@git.example.com:org/a.git", "ssh"),
        ("http://git.example.com/a.git", "http"),
        ("git://git.example.com/a.git", "git"),
        ("file:///srv/a.git", "file"),
        ("/srv/a.git", "file"),
    ],
)
def test_repository_addresses_of_every_form_are_understood(repo: str, scheme: str) -> None:
    assert spec(source=PLAYBOOK | {"repo": repo}).source.type == "playbook"
    assert repo_scheme(repo) == scheme


@pytest.mark.parametrize(
    "repo",
    [
        "ext::sh -c id",
        "ext::sh",
        "-uroot@x:y",
        "--upload-pack=id",
        "ssh://-oProxyCommand=id/x",
        "ssh://git@-oProxyCommand=id/x",
        "git@-oProxyCommand=id:x",
        "https://user:token@git.example.com/a.git",
        "https://token@git.example.com/a.git",
        "relative/path",
        "https://git.example.com/a b",
        "https://git.example.com/a\nb",
        "",
    ],
)
def test_hostile_repository_addresses_are_refused(repo: str) -> None:
    with pytest.raises(ValidationError):
        spec(source=PLAYBOOK | {"repo": repo})


@pytest.mark.parametrize(
    "path", ["../x.yml", "a/../../x.yml", "/etc/passwd", "-i.yml", "~/x.yml", "a\x00b", "a\\b", ""]
)
def test_paths_that_leave_the_repository_are_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        spec(source=PLAYBOOK | {"path": path})


def test_one_playbook_or_a_list_of_them_may_be_named() -> None:
    assert spec().source.playbooks == ("site.yml",)  # type: ignore[union-attr]
    assert spec(source=PLAYBOOK | {"path": ["a.yml", "b.yml"]}).source.playbooks == ("a.yml", "b.yml")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options",
    [
        {"limit": "-x"},
        {"limit": "@/etc/passwd"},
        {"limit": "a\nb"},
        {"tags": ["-x"]},
        {"tags": ["a,b c"]},
        {"skip_tags": [""]},
        {"verbosity": 6},
        {"verbosity": True},
        {"forks": 0},
        {"timeout": 0},
        {"timeout": "60"},
        {"priority": 10},
        {"queue": "delivery"},
        {"queue": "unknown"},
        {"check_mode": "yes"},
        {"callback_url": "ftp://x"},
        {"unknown": 1},
    ],
)
def test_options_out_of_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(options=options)


@pytest.mark.parametrize("limit", ["web*", "web:&prod:!db1", "~web\\d+", "web[0:3]", "10.0.0.1", "a,b"])
def test_every_host_pattern_of_ansible_is_taken(limit: str) -> None:
    assert spec(options={"limit": limit}).options.limit == limit


@pytest.mark.parametrize("branch", ["-x", "--upload-pack=id", "a b", "a..\nb", ""])
def test_refs_that_could_be_options_are_refused(branch: str) -> None:
    with pytest.raises(ValidationError):
        spec(source=PLAYBOOK | {"branch": branch})


@pytest.mark.parametrize(
    "inventory",
    [
        {"type": "inline"},
        {"type": "inline", "hosts": []},
        {"type": "inline", "groups": {"web": []}},
        {"type": "inline", "hosts": ["a"], "host_vars": {"b": {}}},
        {"type": "inline", "hosts": ["a"], "group_vars": {"web": {}}},
        {"type": "inline", "hosts": ["-a"]},
        {"type": "inline", "hosts": ["{{ lookup('pipe', 'id') }}"]},
        {"type": "inline", "hosts": "a"},
        {"type": "nothing"},
    ],
)
def test_inventories_without_hosts_or_with_strangers_are_refused(inventory: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(inventory=inventory)


def test_hosts_may_stand_in_groups_alone() -> None:
    inventory = {"type": "inline", "hosts": ["b"], "groups": {"web": ["a", "b"]}}
    assert spec(inventory=inventory).inventory.all_hosts == ("b", "a")  # type: ignore[union-attr]


def test_a_spec_survives_its_own_json() -> None:
    whole = spec(
        credentials={"ssh": "key", "become_password": {"type": "hashicorp_vault", "vault_path": "secret/x"}},
        extra_vars={"a": [1, {"b": None}]},
        options={"callback_url": "https://ci.example.com/hook", "queue": "git-heavy", "tags": ["a"]},
    )
    assert JobSpec.model_validate(whole.as_json()) == whole


def test_the_workload_tells_routing_what_it_needs() -> None:
    inventory = {"type": "git", "repo": "git@git.example.com:inv.git", "path": "hosts.yml"}
    workload = spec(inventory=inventory, options={"priority": 9}).workload(default_timeout=60)
    assert (workload.timeout, workload.priority, workload.repositories) == (60, 9, 2)
