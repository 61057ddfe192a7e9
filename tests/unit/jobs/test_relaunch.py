"""What becomes of a request when its job is run again."""

from typing import Any

import pytest

from ansible_api.errors import Conflict, InvalidRequest
from ansible_api.jobs.model import Job, JobHost
from ansible_api.jobs.relaunch import Relaunch, relaunched
from ansible_api.jobs.state import Status

COMMIT, OTHER = "a" * 40, "b" * 40
SOURCE = {"type": "playbook", "repo": "https://git.example.com/a.git", "branch": "main", "path": "site.yml"}
GIT = {"type": "git", "repo": "https://git.example.com/inventory.git", "path": "hosts.yml"}
INLINE = {"type": "inline", "hosts": ["web1", "web2", "web3"]}


def job(status: Status = Status.FAILED, commit: str | None = COMMIT, **parts: Any) -> Job:
    spec = {"source": SOURCE, "inventory": INLINE, "options": {"limit": "web*"}, "credentials": {}} | parts
    inventories = {"/inventory": spec["inventory"]}
    if isinstance(spec["inventory"], list):
        inventories = {f"/inventory/{number}": one for number, one in enumerate(spec["inventory"])}
    commits = {pointer: OTHER for pointer, one in inventories.items() if one["type"] == "git"}
    facts = {"host_count": 3, "matched_count": 3, "commits": commits}
    return Job(id="job-1", status=status, spec=spec, commit=commit, inventory=facts)


def host(name: str, **counts: int) -> JobHost:
    return JobHost(host=name, **{"failed": 0, "unreachable": 0} | counts)


def wish(**fields: Any) -> Relaunch:
    return Relaunch.model_validate(fields)


HOSTS = [host("web1", failed=1), host("web2"), host("web3", unreachable=1), host("added by the play!", failed=1)]


def test_a_job_is_repeated_from_the_commit_that_it_was_run_from() -> None:
    spec = relaunched(job(), HOSTS, wish())
    assert spec.source.branch == COMMIT  # type: ignore[union-attr]
    assert spec.options.limit == "web*"


def test_or_from_what_the_branch_names_now() -> None:
    assert relaunched(job(), HOSTS, wish(commit="latest")).source.branch == "main"  # type: ignore[union-attr]


def test_a_job_that_never_got_its_source_keeps_its_branch() -> None:
    assert relaunched(job(Status.ERROR, commit=None), [], wish()).source.branch == "main"  # type: ignore[union-attr]


def test_inventories_from_git_are_pinned_too() -> None:
    alone = relaunched(job(inventory=GIT), HOSTS, wish())
    assert alone.inventories["/inventory"].branch == OTHER  # type: ignore[union-attr]
    several = relaunched(job(inventory=[INLINE, GIT]), HOSTS, wish())
    assert several.inventories["/inventory/1"].branch == OTHER  # type: ignore[union-attr]


def test_only_the_hosts_that_failed_or_were_unreachable() -> None:
    assert relaunched(job(), HOSTS, wish(hosts="failed")).options.limit == ["web1", "web3"]


def test_without_a_failed_host_there_is_nothing_to_repeat() -> None:
    with pytest.raises(Conflict, match="hosts: all"):
        relaunched(job(), [host("web2")], wish(hosts="failed"))


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
def test_a_job_that_has_not_ended_cannot_be_repeated(status: Status) -> None:
    with pytest.raises(Conflict, match="has not ended"):
        relaunched(job(status), HOSTS, wish())


def test_values_that_came_with_the_job_must_come_again() -> None:
    gone = job(credentials={"ssh": {"type": "inline"}, "become_password": "prod"})
    with pytest.raises(InvalidRequest, match="give credentials") as caught:
        relaunched(gone, HOSTS, wish())
    assert [error.pointer for error in caught.value.errors] == ["/credentials/ssh"]
    value = {"kind": "ssh_password", "password": "canary-password"}
    again = relaunched(gone, HOSTS, wish(credentials={"ssh": {"type": "inline", "value": value}}))
    assert again.credentials.ssh.value.password.get_secret_value() == "canary-password"  # type: ignore[union-attr]
    assert "canary" not in str(again.as_json()) + repr(again)


def test_more_failed_hosts_than_a_limit_takes_are_a_conflict() -> None:
    with pytest.raises(Conflict, match="options/limit"):
        relaunched(job(), [host(f"web{number}", failed=1) for number in range(10_001)], wish(hosts="failed"))


def test_a_value_that_no_relaunch_can_bring_again_needs_a_new_job() -> None:
    with pytest.raises(InvalidRequest) as caught:
        relaunched(job(source=SOURCE | {"git_credential": {"type": "inline"}}), HOSTS, wish(credentials={}))
    assert [(error.pointer, "submit a new job" in error.detail) for error in caught.value.errors] == [
        ("/source/git_credential", True)
    ]
