"""Credentials of git: kept apart in the cache, never where they could be seen, and options of ssh that leave no gap."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from ansible_api.credentials.secrets import GitLogin, SshKey
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.fetch import ref_names
from ansible_api.execution.git_login import check_login, digest, identity, ssh_options
from ansible_api.execution.git_process import Patience, error_of
from ansible_api.execution.git_request import Answer, Request
from ansible_api.settings import HostKeyPolicy

KEY = SshKey(SecretStr("-----BEGIN KEY-----"), known_hosts="example.org ssh-ed25519 AAAA")


def options(tmp_path: Path, login: SshKey | None, policy: HostKeyPolicy) -> str:
    with ssh_options(login, tmp_path / "known" / "who", tmp_path, policy, 10) as given:
        return " ".join(given)


def test_every_credential_has_an_identity_of_its_own():
    token = SecretStr("t")
    logins = [
        None,
        SshKey(SecretStr("k")),
        SshKey(SecretStr("other")),
        SshKey(SecretStr("k"), "git"),
        GitLogin("a", token),
        GitLogin("b", token),
        GitLogin("a", SecretStr("u")),
    ]
    assert len({identity(login) for login in logins}) == len(logins)
    assert identity(GitLogin("a", token)) == identity(GitLogin("a", SecretStr("t")))


def test_parts_of_a_name_cannot_be_shifted_into_each_other():
    assert digest("ab", "c") != digest("a", "bc")


def test_the_key_is_a_private_file_that_is_gone_afterwards(tmp_path: Path):
    with ssh_options(KEY, tmp_path / "known", tmp_path, HostKeyPolicy.STRICT, 10) as given:
        key = Path(given[given.index("-i") + 1])
        assert key.read_text() == "-----BEGIN KEY-----\n"
        assert key.stat().st_mode & 0o777 == 0o600
        assert "BEGIN" not in " ".join(given)
    assert not key.exists()


def test_the_hosts_of_a_credential_count_alone(tmp_path: Path):
    given = options(tmp_path, KEY, HostKeyPolicy.ACCEPT_NEW)
    assert "StrictHostKeyChecking=yes" in given
    assert "GlobalKnownHostsFile=none" in given


def test_an_unknown_host_is_refused_unless_first_use_is_trusted(tmp_path: Path):
    key = SshKey(SecretStr("k"))
    assert "StrictHostKeyChecking=yes" in options(tmp_path, key, HostKeyPolicy.STRICT)
    assert "StrictHostKeyChecking=accept-new" in options(tmp_path, key, HostKeyPolicy.ACCEPT_NEW)


def test_neither_configuration_nor_keys_nor_agent_of_the_worker_are_used(tmp_path: Path):
    given = options(tmp_path, None, HostKeyPolicy.STRICT)
    for option in ("-F none", "IdentitiesOnly=yes", "IdentityFile=none", "IdentityAgent=none", "BatchMode=yes"):
        assert option in given


@pytest.mark.parametrize(
    ("repo", "login"), [("https://example.org/x", KEY), ("http://example.org/x", GitLogin("a", SecretStr("t")))]
)
def test_a_credential_that_does_not_fit_the_address_is_refused(repo: str, login: SshKey | GitLogin):
    with pytest.raises(JobError) as caught:
        check_login(repo, login)
    assert caught.value.job_code == "source_refused"


def test_a_request_does_not_show_its_secrets():
    request = Request("resolve", "https://example.org/x", None, 1, 1, 1, 1, 1, token="secret-token")
    assert "secret-token" not in repr(request)
    assert Request.from_json(request.to_json()) == request


def test_a_branch_comes_before_a_tag_of_the_same_name():
    assert ref_names("v1") == (b"refs/heads/v1", b"refs/tags/v1")
    assert ref_names("refs/tags/v1")[0] == b"refs/tags/v1"
    assert ref_names(None) == (b"HEAD",)


def test_only_transient_trouble_is_worth_another_attempt():
    assert type(error_of(Answer(error="source_unreachable", transient=True))) is TransientJobError
    assert type(error_of(Answer(error="source_refused"))) is JobError


def test_patience_ends_with_the_wish_and_with_the_time():
    with pytest.raises(JobError) as stopped:
        Patience(60, lambda: False).check()
    assert stopped.value.job_code == "canceled"
    with pytest.raises(TransientJobError) as late:
        Patience(-1, lambda: True).check()
    assert late.value.job_code == "source_unreachable"


def test_the_name_of_the_hosts_file_is_quoted_for_ssh(tmp_path: Path):
    home = tmp_path / "with space"
    home.mkdir()
    with ssh_options(KEY, home / "known", home, HostKeyPolicy.STRICT, 10) as given:
        (known,) = [option.partition("=")[2] for option in given if option.startswith("UserKnownHostsFile")]
        assert known.startswith('"')
        assert os.path.exists(known.strip('"'))  # noqa: PTH110 - the text itself is what is tried
