"""Plans: everything is prepared, and nothing is run."""

from pathlib import Path

import pytest
from tests.integration.execution.plays import Trial, repository, spec_of

from ansible_api.errors import JobError
from ansible_api.execution.execute import Stopped
from ansible_api.execution.mask import MASK
from ansible_api.jobs.state import Phase, Status, StopReason

SITE = """
- name: Deploy
  hosts: web
  gather_facts: true
  tasks:
    - name: Leave a mark
      copy: {content: x, dest: "{{ mark }}"}
      tags: [now]
"""


def test_a_plan_names_hosts_and_tasks_and_touches_nothing(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": SITE})
    mark = tmp_path / "mark"
    spec = spec_of(
        repo,
        inventory={
            "type": "inline",
            "hosts": ["other"],
            "groups": {"web": ["w1", "w2"]},
            "group_vars": {"all": {"ansible_connection": "local"}},
        },
        extra_vars={"mark": str(mark), "db_password": "canary-value"},
        options={"dry_run": "plan", "limit": "w1"},
    )
    assert trial.run(spec).status is Status.SUCCESSFUL
    plan = trial.phases[-1].facts["plan"]
    assert plan["playbooks"] == [
        {
            "playbook": "site.yml",
            "plays": [
                {
                    "name": "Deploy",
                    "pattern": "web",
                    "tags": [],
                    "host_count": 1,
                    "hosts": ["w1"],
                    "tasks": [{"name": "Leave a mark", "tags": ["now"]}],
                }
            ],
        }
    ]
    assert plan["variables"] == {"mark": str(mark), "db_password": MASK}
    assert not mark.exists()
    assert Phase.PLAYING not in [started.phase for started in trial.phases]
    assert "Leave a mark" in trial.text
    assert trial.leftovers() == []


def test_a_playbook_that_ansible_refuses_has_no_plan(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": "- hosts: all\n  tasks: [{no_such_module_at_all: }]\n"})
    with pytest.raises(JobError, match="no_such_module_at_all") as caught:
        trial.run(spec_of(repo, options={"dry_run": "plan"}))
    assert caught.value.job_code == "playbook_syntax_error"


def test_a_plan_can_be_canceled(trial: Trial, tmp_path: Path) -> None:
    # A template in the name of an included file is evaluated while the tasks are listed.
    site = "- hosts: all\n  tasks:\n    - import_tasks: \"{{ lookup('pipe', 'sleep 60') }}.yml\"\n"
    repo = repository(tmp_path / "repo", {"site.yml": site})
    trial.pulse = lambda: StopReason.CANCELED if trial.phases and trial.phases[-1].phase is Phase.STARTING else None
    with pytest.raises(Stopped):
        trial.run(spec_of(repo, options={"dry_run": "plan"}))
    assert trial.leftovers() == []
