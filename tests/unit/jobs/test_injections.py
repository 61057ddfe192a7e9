"""Every text of a request, with every text that makes careless programs run something."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from tests.injections import ADDRESSES, ALL, MARK, PATHS, SHELL, TEMPLATES

from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.text import repo_scheme

GIT = {"repo": "https://git.example.com/a.git", "branch": "main", "git_credential": "git"}
GALAXY = {
    "galaxy_server": "https://galaxy.example.com/",
    "galaxy_credential": "hub",
    "collections": [{"name": "community.general", "version": ">=6.0.0"}],
}
VAULT = {"type": "hashicorp_vault", "vault_path": "secret/a/b", "vault_key": "password", "vault_credential": "vault"}
INLINE = {
    "type": "inline",
    "hosts": ["web1"],
    "groups": {"web": ["web1"], "all_web": {"hosts": ["web2"], "children": ["web"], "vars": {"a": "b"}}},
    "host_vars": {"web1": {"a": "b"}},
    "group_vars": {"web": {"a": "b"}},
}
OPTIONS = {
    "callback_url": "https://ci.example.com/hook",
    "tags": ["deploy"],
    "skip_tags": ["debug"],
    "limit": "web*",
    "start_at_task": "Install",
    "strategy": "free",
    "env": {"COLOR": "blue"},
    "queue": "default",
    "labels": {"env": "prod"},
    "on_worker_loss": "rerun",
    "dry_run": "plan",
}
# Requests that use every text field there is.
REQUESTS: list[dict[str, Any]] = [
    {
        "source": {"type": "playbook", "path": "site.yml", **GIT, **GALAXY},
        "inventory": INLINE,
        "credentials": {
            "ssh": "key",
            "become_password": VAULT,
            "vault_password": ["one", VAULT],
            "cloud": {"type": "aws", "credential": "aws"},
            "environment": ["one", "two"],
        },
        "extra_vars": {"a": "b", "deep": [{"c": "d"}]},
        "options": OPTIONS,
    },
    {
        "source": {"type": "playbook", "path": ["a.yml", "b.yml"], **GIT},
        "inventory": [
            {"type": "dynamic", "plugin": "amazon.aws.aws_ec2", "config": {"a": "b"}, "cloud_credential": "aws"},
            {"type": "git", "path": "hosts.yml", **GIT},
            {
                "type": "url",
                "url": "https://cmdb.example.com/",
                "format": "json",
                "headers": {"Authorization": "Bearer ${T}"},
                "credential": "cmdb",
            },
        ],
        "options": {"limit": ["web1", "web2"]},
    },
    {"source": {"type": "role", "path": "roles/nginx", "role_vars": {"a": "b"}, **GIT}, "inventory": INLINE},
    {
        "source": {
            "type": "collection_role",
            "collection": "a.b",
            "role": "c",
            "version": "1.0",
            "role_vars": {"a": "b"},
        },
        "inventory": INLINE,
    },
]
# Data: handed on in files or kept in rows, never part of a command line, a path or an address.
DATA = (
    "/extra_vars",
    "/source/role_vars",
    "/inventory/host_vars/web1",
    "/inventory/group_vars/web",
    "/inventory/groups/all_web/vars",
    "/inventory/0/config",
    "/inventory/2/headers/Authorization",
    "/options/labels/env",
    "/options/env/COLOR",
    "/options/start_at_task",
    "/credentials/become_password/vault_key",
    "/credentials/vault_password/1/vault_key",
)
# Web addresses, of which some of these texts are odd ones.
ADDRESSED = ("/options/callback_url", "/source/galaxy_server", "/inventory/2/url")


def texts(part: Any, place: str = "") -> Iterator[str]:
    """The JSON Pointer of every text below, and of every name of what callers name themselves."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from texts(value, f"{place}/{name}")
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from texts(value, f"{place}/{number}")
    elif isinstance(part, str):
        yield place


def changed(request: dict[str, Any], place: str, value: str) -> dict[str, Any]:
    """The request with another text at a place."""
    document = copy.deepcopy(request)
    *way, last = place.strip("/").split("/")
    part: Any = document
    for name in way:
        part = part[int(name)] if isinstance(part, list) else part[name]
    part[int(last) if isinstance(part, list) else last] = value
    return document


def accepts(request: dict[str, Any]) -> bool:
    try:
        JobSpec.model_validate_json(json.dumps(request))
    except ValidationError:
        return False
    return True


PLACES = [(number, place) for number, request in enumerate(REQUESTS) for place in texts(request)]


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_the_requests_themselves_are_right(number: int) -> None:
    assert accepts(REQUESTS[number])


def test_there_are_many_texts_and_many_places() -> None:
    assert len(set(ALL)) >= 60
    assert len(PLACES) >= 60


@pytest.mark.parametrize(("number", "place"), PLACES)
def test_a_text_that_is_no_data_is_refused(number: int, place: str) -> None:
    accepted = [text for text in ALL if accepts(changed(REQUESTS[number], place, text))]
    if place.startswith(DATA):
        assert len(accepted) > 0.5 * len(ALL)  # what it says is nobody's business
    elif place.endswith("/repo"):
        assert {repo_scheme(text) for text in accepted} <= {"file", "git"}  # which the installation has to allow
    elif place.endswith("/branch"):
        assert accepted == [f"@{MARK}"]  # tags of packages look so: @scope/name@1.0
    elif re.fullmatch(r".*/path(/\d+)?", place):
        assert set(accepted) <= {*SHELL, *ADDRESSES, *PATHS, *TEMPLATES}  # odd names of files that the repository lacks
    elif place not in ADDRESSED:
        assert accepted == []
    if not place.startswith(DATA) and not place.endswith("/repo"):
        assert not [text for text in accepted if text.startswith(("-", "/", "~")) or ".." in text.split("/")]


@pytest.mark.parametrize(
    "place", ["/options/labels", "/options/env", "/inventory/groups", "/inventory/host_vars", "/inventory/group_vars"]
)
def test_a_name_that_callers_choose_is_refused_as_well(place: str) -> None:
    def named(name: str) -> dict[str, Any]:
        document = copy.deepcopy(REQUESTS[0])
        part = document
        for step in place.strip("/").split("/"):
            part = part[step]
        value = next(iter(part.values()))
        part[name] = value
        return document

    assert [name for name in ALL if accepts(named(name))] == []
