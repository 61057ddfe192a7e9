"""Which credentials fit where, and what is said about it before any database is asked."""

from typing import Any

import pytest

from ansible_api.credentials.model import Kind
from ansible_api.egress import Policy
from ansible_api.jobs.secrets import FITTING, inline_errors, uses, wanted
from ansible_api.jobs.spec import JobSpec

SOURCE = {"type": "playbook", "repo": "https://git.example.com/a.git", "path": "site.yml"}
INLINE = {"type": "inline", "hosts": ["web1"]}


def spec(**parts: Any) -> JobSpec:
    return JobSpec.model_validate({"source": SOURCE, "inventory": INLINE, **parts})


def places(**parts: Any) -> dict[str, frozenset[Kind]]:
    return {one.place: one.fitting for one in wanted(spec(**parts))}


def test_each_kind_of_place_takes_what_opens_it() -> None:
    dynamic = {"type": "dynamic", "plugin": "amazon.aws.aws_ec2", "cloud_credential": "c"}
    url = {"type": "url", "url": "https://cmdb.example.com", "credential": "c"}
    git = {"type": "git", "repo": SOURCE["repo"], "path": "hosts", "git_credential": "c"}
    found = places(
        source=SOURCE | {"git_credential": "c", "galaxy_credential": "c"},
        inventory=[INLINE, dynamic, url, git],
        credentials={
            "ssh": "c",
            "become_password": "c",
            "vault_password": ["c", {"type": "hashicorp_vault", "vault_path": "secret/x"}],
            "cloud": [{"type": "gcp", "credential": "c"}, {"type": "azure", "credential": "c"}],
            "environment": "c",
        },
    )
    assert found == {
        "/source/git_credential": {Kind.GIT, Kind.SSH_KEY},
        "/source/galaxy_credential": {Kind.GALAXY_TOKEN},
        "/inventory/1/cloud_credential": {Kind.AWS, Kind.AZURE, Kind.GCP, Kind.OPENSTACK, Kind.ENVIRONMENT},
        "/inventory/2/credential": {Kind.HTTP},
        "/inventory/3/git_credential": {Kind.GIT, Kind.SSH_KEY},
        "/credentials/ssh": {Kind.SSH_KEY, Kind.SSH_PASSWORD},
        "/credentials/become_password": {Kind.BECOME_PASSWORD},
        "/credentials/vault_password/0": {Kind.VAULT_PASSWORD},
        "/credentials/vault_password/1": {Kind.VAULT_PASSWORD},
        "/credentials/cloud/0/credential": {Kind.GCP},
        "/credentials/cloud/1/credential": {Kind.AZURE},
        "/credentials/environment": {Kind.ENVIRONMENT},
    }


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_can_be_used_at_the_places_that_are_told(kind: Kind) -> None:
    told = uses(kind)
    assert told
    for place in told:
        name = place.rsplit("/", 1)[-1]
        fitting = {Kind.AWS, Kind.AZURE, Kind.GCP, Kind.OPENSTACK} if "/cloud/" in place else FITTING[name]
        assert kind in fitting, place


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ({"kind": "aws", "access_key_id": "A", "secret_access_key": "canary"}, []),
        ({"kind": "gcp", "service_account": '{"client_email": "a", "private_key": "canary"}'}, ["value/kind"]),
        (
            {"kind": "aws", "access_key_id": "A", "secret_access_key": "canary", "endpoint_url": "http://[::1]"},
            ["value/endpoint_url"],
        ),
        (None, ["value"]),
    ],
)
def test_values_that_come_with_a_request_are_checked_without_a_database(value: Any, errors: list[str]) -> None:
    reference = {"type": "inline"} | ({"value": value} if value else {})
    request = spec(credentials={"cloud": {"type": "aws", "credential": reference}})
    found = list(inline_errors(request, Policy()))
    assert [error.pointer for error in found] == [f"/credentials/cloud/credential/{name}" for name in errors]
    assert "canary" not in str(found)
