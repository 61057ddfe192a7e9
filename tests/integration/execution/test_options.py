"""What options do to a real play."""

from pathlib import Path

import pytest
from tests.integration.execution.plays import Trial, repository, running, spec_of

from ansible_api.errors import LeaseLost
from ansible_api.execution.sandbox import Guard
from ansible_api.jobs.state import Phase, Status
from ansible_api.processes import boot_time
from ansible_api.settings import Isolation

SLEEP = "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: {command}\n"


def test_a_play_that_says_nothing_for_too_long_is_ended(trial: Trial, tmp_path: Path, sleep: str) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": SLEEP.format(command=sleep)})
    outcome = trial.run(spec_of(repo, options={"idle_timeout": 1}))
    assert (outcome.status, outcome.error_code) == (Status.TIMED_OUT, "idle_timed_out")
    assert "raise options.idle_timeout" in (outcome.message or "")
    assert running(sleep) == []


def test_a_play_that_talks_may_take_its_time(trial: Trial, tmp_path: Path) -> None:
    task = "    - command: sleep 1.5\n"
    repo = repository(tmp_path / "repo", {"site.yml": SLEEP.format(command="sleep 0.1") + task * 6})
    assert trial.run(spec_of(repo, options={"idle_timeout": 8})).status is Status.SUCCESSFUL


def test_a_play_whose_lease_is_not_renewed_is_ended_and_says_nothing(trial: Trial, tmp_path: Path, sleep: str) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": SLEEP.format(command=sleep)})
    renewed = boot_time()
    trial.guard = Guard(2.0, lambda: renewed)
    with pytest.raises(LeaseLost):
        trial.run(spec_of(repo))
    assert running(sleep) == []
    assert trial.leftovers() == []


def test_a_play_whose_lease_is_renewed_goes_on(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": SLEEP.format(command="sleep 3")})
    trial.guard = Guard(1.5, boot_time)
    assert trial.run(spec_of(repo)).status is Status.SUCCESSFUL


def test_what_the_start_of_a_play_writes_is_on_the_disk_before_the_point_of_no_return(
    trial: Trial, tmp_path: Path
) -> None:
    control, seen = trial.config.work_dir / trial.marker / "control", []

    def look() -> None:
        seen.append({path.name for path in control.iterdir()})

    trial.guard = Guard(60, boot_time)
    trial.on_report = lambda started: look() if started.phase is Phase.PLAYING else None
    trial.pulse = lambda: look() if trial.playing else None
    trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": SLEEP.format(command="sleep 0.1")})))
    assert "lease" in seen[0]
    assert seen[-1] == seen[0]


def test_environment_strategy_and_first_task_reach_the_play(trial: Trial, tmp_path: Path) -> None:
    site = """
- hosts: all
  gather_facts: false
  tasks:
    - name: skipped
      fail:
    - name: "seen: first"
      debug: {msg: "{{ lookup('env', 'COLOR') }} {{ lookup('config', 'DEFAULT_STRATEGY') }}"}
"""
    repo = repository(tmp_path / "repo", {"site.yml": site, "ansible.cfg": "[defaults]\nstrategy = linear\n"})
    options = {"env": {"COLOR": "blue; $(id)"}, "strategy": "free", "start_at_task": "seen: first"}
    assert trial.run(spec_of(repo, options=options)).status is Status.SUCCESSFUL
    assert trial.result("seen: first")["msg"] == "blue; $(id) free"


def test_hosts_can_be_listed_one_by_one(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{debug: }]\n"})
    hosts = tuple(f"host-with-a-rather-long-name-{number}.example.com" for number in range(60))
    assert trial.run(spec_of(repo, hosts=hosts, options={"limit": list(hosts[1:50])})).status is Status.SUCCESSFUL
    assert {event.host for event in trial.events if event.host} == set(hosts[1:50])


@pytest.mark.parametrize("isolation", [Isolation.BUBBLEWRAP])
def test_variables_of_the_loader_do_not_reach_what_runs_outside(trial: Trial, tmp_path: Path) -> None:
    """The names are refused in requests; the sandbox must not depend on that."""
    repo = repository(tmp_path / "repo", {"site.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{debug: }]\n"})
    spec = spec_of(repo)
    spec.options.env["GCONV_PATH"] = str(tmp_path)
    spec.options.env["LD_DEBUG"] = "all"
    spec.options.env["LD_DEBUG_OUTPUT"] = str(tmp_path / "loader")
    assert trial.run(spec).status is Status.SUCCESSFUL
    assert list(tmp_path.glob("loader*")) == []
