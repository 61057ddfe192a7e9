"""What a play leaves for its caller: set_stats data, and files."""

from pathlib import Path

from tests.integration.execution.plays import Trial, repository, spec_of

from ansible_api.execution.artifacts import Artifact
from ansible_api.jobs.state import Status

LEAVING = """
- hosts: all
  gather_facts: false
  tasks:
    - set_stats: {data: {version: 1.2.3, hosts: ["{{ inventory_hostname }}"]}}
    - copy: {content: "built\\n", dest: "{{ lookup('env', 'ANSIBLE_API_ARTIFACTS') }}/report.txt"}
    - fail: {msg: no}
      when: broken | default(false)
"""


def test_data_and_files_of_a_play_are_there_at_its_end(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": LEAVING})
    assert trial.run(spec_of(repo)).status is Status.SUCCESSFUL
    assert trial.data == {"version": "1.2.3", "hosts": ["a"]}
    assert trial.files == [Artifact("report.txt", b"built\n")]


def test_a_play_that_fails_leaves_what_it_had(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": LEAVING})
    assert trial.run(spec_of(repo, extra_vars={"broken": True})).status is Status.FAILED
    assert trial.data["version"] == "1.2.3"
    assert len(trial.files) == 1
