"""Addresses of repositories: the server that they name, and relative ones of submodules."""

import pytest

from ansible_api.git_address import GitAddress, is_relative, parse, resolve_relative


@pytest.mark.parametrize(
    ("repo", "address"),
    [
        ("https://Git.Example.org/a/b.git", GitAddress("https", "git.example.org", 443, None, "/a/b.git")),
        ("https://git.example.org:8443/a", GitAddress("https", "git.example.org", 8443, None, "/a")),
        ("ssh://git@example.org/a", GitAddress("ssh", "example.org", 22, "git", "/a")),
        ("ssh://git@example.org:2222/a", GitAddress("ssh", "example.org", 2222, "git", "/a")),
        ("git@Example.org:a/b.git", GitAddress("ssh", "example.org", 22, "git", "a/b.git")),
        ("git@[2001:db8::1]:a", GitAddress("ssh", "2001:db8::1", 22, "git", "a")),
        ("https://[2001:db8::1]:444/a", GitAddress("https", "2001:db8::1", 444, None, "/a")),
        ("/srv/git/a", GitAddress("file", "", 0, None, "/srv/git/a")),
        ("file:///srv/git/a", GitAddress("file", "", 0, None, "/srv/git/a")),
    ],
)
def test_an_address_falls_into_its_parts(repo: str, address: GitAddress):
    assert parse(repo) == address


@pytest.mark.parametrize(
    "repo", ["", "name", "https://example.org:port/a", "https://example.org:99999/a", "https://[x/"]
)
def test_what_is_no_address_is_a_value_error(repo: str):
    with pytest.raises(ValueError):
        parse(repo)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://example.org/a", "https://EXAMPLE.org:443/b", True),
        ("git@example.org:a", "ssh://git@example.org/b", True),
        ("https://example.org/a", "https://example.org:444/b", False),
        ("https://example.org/a", "http://example.org/b", False),
        ("https://example.org/a", "https://example.org.evil.example/b", False),
        ("git@example.org:a", "https://example.org/a", False),
    ],
)
def test_a_server_is_scheme_host_and_port(one: str, other: str, same: bool):
    assert (parse(one).server == parse(other).server) is same


@pytest.mark.parametrize(
    ("base", "relative", "address"),
    [
        ("https://example.org/team/app.git", "../lib.git", "https://example.org/team/lib.git"),
        ("https://example.org/team/app.git/", "../../other/lib.git", "https://example.org/other/lib.git"),
        ("https://example.org/team/app.git", "./lib.git", "https://example.org/team/app.git/lib.git"),
        ("ssh://git@example.org:22/team/app.git", "../lib.git", "ssh://git@example.org:22/team/lib.git"),
        ("git@example.org:team/app.git", "../lib.git", "git@example.org:team/lib.git"),
        ("git@example.org:app.git", "../lib.git", "git@example.org:lib.git"),
        ("git@example.org:/srv/app.git", "../lib.git", "git@example.org:/srv/lib.git"),
        ("/srv/git/app", "../lib", "/srv/git/lib"),
        ("file:///srv/git/app", "../lib", "file:///srv/git/lib"),
    ],
)
def test_a_relative_address_changes_nothing_but_the_path(base: str, relative: str, address: str):
    assert is_relative(relative)
    assert resolve_relative(base, relative) == address


@pytest.mark.parametrize(
    ("base", "relative"),
    [
        ("https://example.org/app.git", "../../evil.example/lib"),
        ("git@example.org:app.git", "../../lib"),
        ("/app", "../../etc"),
        ("https://example.org/team/app.git", "../lib/../../../other"),
    ],
)
def test_a_relative_address_that_leads_above_the_server_is_refused(base: str, relative: str):
    with pytest.raises(ValueError, match="leads"):
        resolve_relative(base, relative)


@pytest.mark.parametrize("repo", ["https://example.org/x", "lib", "/srv/lib", ".hidden", "..."])
def test_other_addresses_are_not_relative(repo: str):
    assert not is_relative(repo)
