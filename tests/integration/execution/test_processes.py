import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.execution.plays import Trial, repository, running, spec_of
from tests.waiting import wait_for

from ansible_api.errors import LeaseLost
from ansible_api.execution.execute import Stopped
from ansible_api.execution.workspace import MARKER, sweep
from ansible_api.jobs.state import Status, StopReason
from ansible_api.processes import marked

HOSTS = tuple(f"h{number}" for number in range(10))
CALLER = Path(__file__).with_name("caller.py")


def restless(sleep: str) -> str:
    """A play that keeps ten forks busy and starts what tries to outlive it: async tasks, daemons without a marker."""
    return f"""
- hosts: all
  gather_facts: false
  tasks:
    - name: async
      command: {sleep}
      async: 900
      poll: 0
    - name: daemon
      shell: "(trap '' HUP TERM; exec env -i setsid {sleep}) > /dev/null 2>&1 &"
    - name: busy
      shell: "trap '' TERM; {sleep}; true"
"""


def stop_when(condition: Callable[[], bool], reason: StopReason) -> Callable[[], StopReason | None]:
    return lambda: reason if condition() else None


def test_cancel_leaves_no_process_of_a_play_with_ten_forks(trial: Trial, tmp_path: Path, sleep: str) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": restless(sleep)})
    most = 0

    def all_asleep() -> bool:
        nonlocal most
        most = max(most, len(running(sleep)))
        return trial.playing and most >= 30

    trial.pulse = stop_when(all_asleep, StopReason.CANCELED)
    outcome = trial.run(spec_of(repo, hosts=HOSTS, options={"forks": 10, "timeout": 60}))
    assert outcome.status is Status.CANCELED
    assert most >= 30
    assert running(sleep) == []
    assert trial.leftovers() == []


def test_the_timeout_counts_from_the_start_of_the_play(trial: Trial, tmp_path: Path, sleep: str) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": restless(sleep)})
    outcome = trial.run(spec_of(repo, options={"timeout": 3}))
    assert outcome.status is Status.TIMED_OUT
    assert "3 seconds" in (outcome.message or "")
    assert running(sleep) == []
    assert trial.leftovers() == []


@pytest.mark.parametrize(("reason", "raised"), [(StopReason.LEASE_LOST, LeaseLost), (StopReason.SHUTDOWN, Stopped)])
def test_losing_the_lease_or_the_worker_ends_the_play_and_is_raised(
    trial: Trial, tmp_path: Path, sleep: str, reason: StopReason, raised: type[Exception]
) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": restless(sleep)})
    trial.pulse = stop_when(lambda: len(running(sleep)) >= 3, reason)
    with pytest.raises(raised):
        trial.run(spec_of(repo, options={"timeout": 60}))
    assert running(sleep) == []
    assert trial.leftovers() == []


@pytest.mark.parametrize("reason", [StopReason.CANCELED, StopReason.SHUTDOWN, StopReason.LEASE_LOST])
def test_a_play_that_was_done_before_it_was_told_to_stop_ends_as_it_would_have(
    trial: Trial, tmp_path: Path, reason: StopReason
) -> None:
    def done() -> bool:
        if "PLAY RECAP" in trial.text:
            wait_for(lambda: not marked(MARKER, trial.marker))
        return "PLAY RECAP" in trial.text

    trial.pulse = stop_when(done, reason)
    repo = repository(tmp_path / "repo", {"site.yml": "- hosts: all\n  gather_facts: false\n  tasks: [ping: ]\n"})
    assert trial.run(spec_of(repo)).status is Status.SUCCESSFUL


def test_an_error_of_the_pulse_ends_the_play_and_comes_out(trial: Trial, tmp_path: Path, sleep: str) -> None:
    def broken() -> StopReason | None:
        if len(running(sleep)) >= 3:
            raise ValueError("pulse is broken")
        return None

    trial.pulse = broken
    repo = repository(tmp_path / "repo", {"site.yml": restless(sleep)})
    with pytest.raises(ValueError, match="pulse is broken"):
        trial.run(spec_of(repo, options={"timeout": 60}))
    assert running(sleep) == []
    assert trial.leftovers() == []


def test_what_a_successful_play_left_running_is_killed(trial: Trial, tmp_path: Path, sleep: str) -> None:
    play = restless(sleep).partition("    - name: busy")[0]
    outcome = trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play})))
    assert outcome.status is Status.SUCCESSFUL
    assert running(sleep) == []


def test_a_play_that_closes_its_output_and_stays_is_still_stopped(trial: Trial, tmp_path: Path, sleep: str) -> None:
    evil = f"""
import os
class FilterModule:
    def filters(self):
        return {{"mute": mute}}
def mute(value):
    os.close(1), os.close(2)
    os.execvp("/bin/sh", ["sh", "-c", "trap '' TERM; {sleep}; {sleep}"])
"""
    play = "- hosts: \"{{ 'all' | mute }}\"\n  tasks: []\n"
    repo = repository(tmp_path / "repo", {"site.yml": play, "filter_plugins/evil.py": evil})
    trial.pulse = stop_when(lambda: bool(running(sleep)), StopReason.CANCELED)
    assert trial.run(spec_of(repo, options={"timeout": 60})).status is Status.CANCELED
    assert running(sleep) == []


def test_a_killed_worker_takes_its_play_along_and_the_next_one_tidies_up(
    trial: Trial, tmp_path: Path, sleep: str
) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": restless(sleep)})
    spec = tmp_path / "spec.json"
    spec.write_text(spec_of(repo, hosts=HOSTS, options={"forks": 10}).model_dump_json())
    arguments = [trial.job_id, str(spec), str(trial.config.work_dir), str(trial.config.isolation)]
    with subprocess.Popen([sys.executable, str(CALLER), *arguments], stdout=subprocess.DEVNULL) as caller:
        try:
            wait_for(lambda: len(running(sleep)) >= 30, timeout=60)
            assert sweep(trial.config.work_dir) == []  # the living are left alone
            assert len(running(sleep)) >= 30
        finally:
            os.kill(caller.pid, signal.SIGKILL)
    wait_for(lambda: not running(sleep), timeout=10)
    assert trial.leftovers() != []  # the dead could not tidy up
    assert sweep(trial.config.work_dir) == [trial.marker]
    assert trial.leftovers() == []
