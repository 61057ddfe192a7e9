"""Which servers a repository may be on, before anything is sent to them."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from tests.unit.egress.test_policy import (
    LOOPBACK_ADDRESSES,
    NEVER_ADDRESSES,
    PRIVATE_ADDRESSES,
    PUBLIC_ONLY,
    embedding,
)

from ansible_api.egress import Policy
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.git_egress import allowed_addresses
from ansible_api.execution.git_ssh import pinned
from ansible_api.git_address import parse

FORMS = ["https://{}/x.git", "https://{}:8443/x.git", "ssh://git@{}:2222/x.git", "git@{}:x.git"]
INNER = [*LOOPBACK_ADDRESSES, *NEVER_ADDRESSES, *PRIVATE_ADDRESSES, *embedding("127.0.0.1"), *embedding("10.0.0.1")]


def addresses(repo: str, *found: str, policy: Policy = PUBLIC_ONLY) -> tuple[str, ...]:
    return allowed_addresses(repo, policy, lambda _host, _port: found, 5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("address", INNER)
def test_a_name_of_an_inner_address_is_denied_in_every_form(form: str, address: str):
    with pytest.raises(JobError, match="correct repo") as caught:
        addresses(form.format("git.example.org"), "8.8.8.8", address)
    assert (caught.value.job_code, caught.value.retryable) == ("source_denied", False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "localhost", "a.localhost", "git.example.org."])
def test_a_host_that_tells_by_itself_is_denied_without_a_lookup(form: str, host: str):
    def never(_host: str, _port: int) -> Sequence[str]:
        raise AssertionError("was looked up")

    with pytest.raises(JobError) as caught:
        allowed_addresses(form.format(host), Policy(allow_private=True), never, 5)
    assert caught.value.job_code == "source_denied"


@pytest.mark.parametrize("form", FORMS)
def test_all_public_addresses_are_given_in_their_order(form: str):
    assert addresses(form.format("git.example.org"), "8.8.8.8", "1.1.1.1") == ("8.8.8.8", "1.1.1.1")


def test_private_addresses_are_for_the_installation_to_allow():
    assert addresses("git@git.example.org:x", "10.0.0.1", policy=Policy(allow_private=True)) == ("10.0.0.1",)


def test_a_name_that_does_not_resolve_is_worth_another_attempt():
    def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(TransientJobError) as caught:
        allowed_addresses("https://git.example.org/x", Policy(), unknown, 5)
    assert caught.value.job_code == "source_unreachable"
    with pytest.raises(TransientJobError):
        addresses("https://git.example.org/x")


@pytest.mark.parametrize("repo", ["/srv/git/x", "file:///srv/git/x"])
def test_a_local_path_has_no_addresses(repo: str):
    assert addresses(repo, "127.0.0.1") == ()


def test_an_address_that_is_none_is_invalid():
    with pytest.raises(JobError) as caught:
        addresses("https://git.example.org:port/x")
    assert caught.value.job_code == "source_invalid"


@pytest.mark.parametrize(
    ("repo", "name"),
    [
        ("ssh://git@Git.example.org/x", "git.example.org"),
        ("git@git.example.org:x", "git.example.org"),
        ("ssh://git@git.example.org:22/x", "git.example.org"),
        ("ssh://git@git.example.org:2222/x", "[git.example.org]:2222"),
    ],
)
def test_ssh_goes_to_the_address_and_looks_host_keys_up_by_the_name(repo: str, name: str):
    options = pinned(parse(repo), str(ip_address("8.8.8.8")))
    assert "HostName=8.8.8.8" in options
    assert f"HostKeyAlias={name}" in options
    assert "ProxyCommand=none" in options
