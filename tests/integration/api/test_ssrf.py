"""No field of a request that holds an address takes an internal place, in whatever spelling it comes."""

import copy
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest

from ansible_api.keys.model import Role
from ansible_api.settings import Settings
from tests.integration.api.conftest import JOB, started
from tests.ssrf_addresses import HOSTS, NAMES, TRICKS

pytestmark = pytest.mark.anyio
CREDENTIALS = "/api/v1/credentials"
AWS = {"kind": "aws", "access_key_id": "AKIATESTS", "secret_access_key": "tests"}
OPENSTACK = {"kind": "openstack", "username": "u", "password": "tests", "project_name": "p"}
VAULT = {"kind": "hashicorp_vault", "token": "tests"}
DYNAMIC = {"type": "dynamic", "plugin": "amazon.aws.aws_ec2"}


class Field(NamedTuple):
    """Where an address goes: the body with it, the JSON Pointer of a refusal, and the forms that addresses have."""

    method: str
    path: str
    body: Callable[[str], dict[str, Any]]
    pointer: str
    forms: tuple[str, ...] = ("http://{}/", "https://{}:8443/x?y=z")


def job(pointer: str, address: str) -> dict[str, Any]:
    body = copy.deepcopy(JOB)
    *parents, name = pointer.strip("/").split("/")
    place = body
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = address
    return body


def git_inventory(address: str) -> dict[str, Any]:
    return JOB | {"inventory": {"type": "git", "repo": address, "path": "hosts.yml"}}


def url_inventory(address: str) -> dict[str, Any]:
    return JOB | {"inventory": {"type": "url", "url": address}}


def second_inventory(address: str) -> dict[str, Any]:
    return JOB | {"inventory": [JOB["inventory"], {"type": "url", "url": address}]}


def inline(address: str) -> dict[str, Any]:
    value = AWS | {"endpoint_url": address}
    return JOB | {"inventory": DYNAMIC | {"cloud_credential": {"type": "inline", "value": value}}}


def credential(fields: dict[str, Any], name: str, address: str) -> dict[str, Any]:
    return {"name": "tried"} | fields | {name: address}


def replaced(fields: dict[str, Any], name: str, address: str) -> dict[str, Any]:
    return fields | {name: address}


REPOS = ("https://{}/x.git", "https://{}:8443/x.git", "ssh://git@{}/x.git", "ssh://git@{}:2222/x.git", "git@{}:x.git")
JOBS, TRIED = "/api/v1/jobs", f"{CREDENTIALS}/tried"
IN_JOBS = {
    "options.callback_url": Field("POST", JOBS, partial(job, "/options/callback_url"), "/options/callback_url"),
    "source.galaxy_server": Field("POST", JOBS, partial(job, "/source/galaxy_server"), "/source/galaxy_server"),
    "source.repo": Field("POST", JOBS, partial(job, "/source/repo"), "/source/repo", REPOS),
    "inventory.repo": Field("POST", JOBS, git_inventory, "/inventory/repo", REPOS),
    "inventory.url": Field("POST", JOBS, url_inventory, "/inventory/url"),
    "inventory.1.url": Field("POST", JOBS, second_inventory, "/inventory/1/url"),
    "inline aws.endpoint_url": Field("POST", JOBS, inline, "/inventory/cloud_credential/value/endpoint_url"),
}
IN_CREDENTIALS = {
    f"{method} {fields['kind']}.{name}": Field(method, path, partial(body, fields, name), f"/{name}")
    for fields, name in ((AWS, "endpoint_url"), (OPENSTACK, "auth_url"), (VAULT, "url"))
    for method, path, body in (("POST", CREDENTIALS, credential), ("PUT", TRIED, replaced))
}
TRIALS = {
    "test of git: repo": Field("POST", f"{CREDENTIALS}/git/test", lambda address: {"repo": address}, "/repo", REPOS),
    "test of http: url": Field("POST", f"{CREDENTIALS}/http/test", lambda address: {"url": address}, "/url"),
    "test of galaxy_token: galaxy_server": Field(
        "POST", f"{CREDENTIALS}/galaxy/test", lambda address: {"galaxy_server": address}, "/galaxy_server"
    ),
}
STORED = {
    "git": {"kind": "git", "token": "tests"},
    "http": {"kind": "http", "variables": {"TOKEN": "tests"}},
    "galaxy": {"kind": "galaxy_token", "token": "tests"},
}


@pytest.fixture
async def admin(sqlite_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A caller who may do all, of an API that may reach private addresses, as by default."""
    async with started(sqlite_settings) as api, api.client(Role.ADMIN) as client:
        for name, fields in STORED.items():
            assert (await client.post(CREDENTIALS, json={"name": name} | fields)).status_code == 201
        yield client


def addresses(field: Field) -> Iterator[str]:
    for form in field.forms:
        for host in HOSTS.values():
            yield form.format(host)
    for trick in TRICKS.values():
        text = trick.replace("ALLOWED", "8.8.8.8")
        yield from (
            (text, text.replace("http:", "https:"))
            if field.forms[0].startswith("http:")
            else (text.replace("http:", "https:"),)
        )


def test_the_list_is_long_enough() -> None:
    assert len(set(HOSTS.values())) >= 40
    assert len(set(TRICKS.values())) >= 10


@pytest.mark.parametrize("name", [*IN_JOBS, *IN_CREDENTIALS, *TRIALS])
async def test_an_internal_address_is_refused_where_it_stands(admin: httpx.AsyncClient, name: str) -> None:
    field = (IN_JOBS | IN_CREDENTIALS | TRIALS)[name]
    wrong = {}
    for address in addresses(field):
        answer = await admin.request(field.method, field.path, json=field.body(address))
        pointers = [error["pointer"] for error in answer.json().get("errors", [])]
        if (answer.status_code, pointers) != (422, [field.pointer]):
            wrong[address] = (answer.status_code, pointers)
    assert wrong == {}
    assert (await admin.get(JOBS)).json()["items"] == []


@pytest.mark.parametrize("name", [*IN_JOBS, *IN_CREDENTIALS])
async def test_a_name_that_only_dns_knows_is_taken(admin: httpx.AsyncClient, name: str) -> None:
    field = (IN_JOBS | IN_CREDENTIALS)[name]
    for number, host in enumerate(NAMES):
        for form in field.forms:
            body = field.body(form.format(host))
            body |= {"name": f"tried{number}-{len(form)}"} if field.path == CREDENTIALS else {}
            answer = await admin.request(field.method, field.path, json=body)
            assert answer.status_code in (200, 201, 202), answer.text
