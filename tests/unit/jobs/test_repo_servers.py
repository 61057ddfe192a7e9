"""Repositories whose address tells by itself that the service may not reach their server are refused at once."""

import pytest

from ansible_api.errors import InvalidRequest
from ansible_api.jobs.service import check
from ansible_api.jobs.spec import JobSpec
from ansible_api.settings import Settings

DENIED = [
    "127.0.0.1",
    "127.1.2.3",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "git.localhost",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "example.org.",
]


def settings(**values: bool) -> Settings:
    return Settings.model_validate(
        {"database_url": "x", "redis_url": "x", "master_key": "x", "objects_dir": "x", **values}
    )


def spec(repo: str, inventory_repo: str = "https://git.example.com/inventory.git") -> JobSpec:
    return JobSpec.model_validate(
        {
            "source": {"type": "playbook", "repo": repo, "path": "site.yml"},
            "inventory": {"type": "git", "repo": inventory_repo, "path": "hosts.yml"},
        }
    )


def refusals(repo: str, **values: bool) -> dict[str, str]:
    try:
        check(spec(repo), settings(**values), None)
    except InvalidRequest as error:
        return {each.pointer: each.detail for each in error.errors}
    return {}


@pytest.mark.parametrize("host", DENIED)
@pytest.mark.parametrize("form", ["https://{}/x.git", "https://{}:8443/x.git", "ssh://git@{}/x.git", "git@{}:x.git"])
def test_a_denied_server_is_refused_with_its_place(form: str, host: str):
    assert list(refusals(form.format(host))) == ["/source/repo"]


@pytest.mark.parametrize("repo", ["https://git.example.com/x.git", "git@git.example.com:x.git", "https://8.8.8.8/x"])
def test_any_other_server_may_be_named(repo: str):
    assert refusals(repo) == {}


def test_a_private_address_depends_on_the_installation():
    assert refusals("https://10.0.0.1/x") == {}
    assert "private" in refusals("https://10.0.0.1/x", private_egress=False)["/source/repo"]


def test_loopback_depends_on_the_installation():
    assert refusals("git@localhost:x", loopback_egress=True) == {}


def test_a_port_that_is_none_is_refused():
    assert "port" in refusals("https://git.example.com:port/x")["/source/repo"]


def test_the_repository_of_an_inventory_is_checked_too():
    with pytest.raises(InvalidRequest) as caught:
        check(spec("https://git.example.com/x", "https://127.0.0.1/y"), settings(), None)
    assert [each.pointer for each in caught.value.errors] == ["/inventory/repo"]


def test_a_local_path_names_no_server():
    assert refusals("/srv/git/x", allow_local_repos=True) == {}
