from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import Trial, repository, spec_of

from ansible_api.credentials.secrets import Password, Secrets
from ansible_api.errors import JobError, LeaseLost
from ansible_api.execution.execute import PhaseStarted, Stopped
from ansible_api.jobs.state import Phase, Status, StopReason

HELLO = """
- hosts: all
  gather_facts: false
  tasks:
    - name: greet
      debug:
        msg: "hello {{ who }}"
"""
# `who: vault`, under the password right-password.
ENCRYPTED = """$ANSIBLE_VAULT;1.1;AES256
64333531373165323131313138656232316336393330666633326436656533636230386563353562
3839633530393263316138316132346665336365326366390a313534613465396336383566316536
66663837613337373832636138366136393032353238393863666538393734393930633533323535
3138636563316464330a336434666564303165353165616266353135323534303266333132366262
6333
"""
GATHERING = """
- hosts: all
  tasks:
    - name: count
      debug:
        msg: "{{ ansible_facts | length > 20 }}"
"""


def test_plays_on_four_hosts_and_reports_every_event(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": HELLO})
    outcome = trial.run(spec_of(repo, hosts=("a", "b", "c", "d"), extra_vars={"who": "{{ inventory_hostname }}"}))
    assert (outcome.status, outcome.return_code) == (Status.SUCCESSFUL, 0)
    greetings = {event.host: event for event in trial.events if event.type == "runner_on_ok"}
    assert {host: event.result["msg"] for host, event in greetings.items()} == {
        host: f"hello {host}" for host in "abcd"
    }
    assert greetings["a"].play == "all"
    assert greetings["a"].task == "greet"
    assert greetings["a"].stdout.startswith("ok: [a]")
    assert [event.seq for event in trial.events] == list(range(1, len(trial.events) + 1))
    assert all(event.time.endswith("Z") for event in trial.events)
    assert trial.events[-1].type == "playbook_on_stats"
    assert trial.events[-1].result["ok"] == dict.fromkeys("abcd", 1)
    assert trial.leftovers() == []


def test_reports_each_phase_before_it_begins(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": HELLO})
    trial.run(spec_of(repo, extra_vars={"who": "you"}))
    assert [started.phase for started in trial.phases] == [
        Phase.SOURCE,
        Phase.DEPENDENCIES,
        Phase.INVENTORY,
        Phase.STARTING,
        Phase.PLAYING,
    ]
    assert len(trial.phases[1].facts["commit"]) == 40


def test_gathers_facts_of_the_local_host(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": GATHERING})
    assert trial.run(spec_of(repo)).status is Status.SUCCESSFUL
    assert trial.result("count")["msg"] is True


def test_runs_several_playbooks_in_order(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"a/one.yml": HELLO.replace("greet", "first"), "two.yml": HELLO})
    spec = spec_of(repo, extra_vars={"who": "x"}).model_copy()
    source = spec.source.model_copy(update={"path": ["a/one.yml", "two.yml"]})
    assert trial.run(spec.model_copy(update={"source": source})).status is Status.SUCCESSFUL
    assert [event.task for event in trial.events if event.type == "runner_on_ok"] == ["first", "greet"]


def test_a_failed_task_is_failed_and_names_the_hosts(trial: Trial, tmp_path: Path) -> None:
    play = "- hosts: all\n  gather_facts: false\n  tasks:\n    - fail: msg=no\n      when: inventory_hostname != 'b'\n"
    outcome = trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play}), hosts=("a", "b", "c")))
    assert (outcome.status, outcome.return_code, outcome.error_code) == (Status.FAILED, 2, "play_failed")
    assert outcome.message == "failed: a, c"


def test_results_of_no_log_tasks_stay_hidden(trial: Trial, tmp_path: Path) -> None:
    play = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: msg=quiet-please\n      no_log: true\n"
    trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play})))
    assert "quiet-please" not in trial.text
    (event,) = [event for event in trial.events if event.type == "runner_on_ok"]
    assert "censored" in event.result


def test_options_reach_ansible(trial: Trial, tmp_path: Path) -> None:
    play = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: wanted, debug: {msg: "{{ ansible_check_mode }} {{ ansible_diff_mode }} {{ ansible_forks }}"}, tags: [x]}
    - {name: skipped, debug: {msg: no}, tags: [x, y]}
    - {name: untagged, debug: {msg: no}}
"""
    options = {"tags": ["x"], "skip_tags": ["y"], "limit": "b", "check_mode": True, "diff_mode": True, "forks": 7}
    trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play}), hosts=("a", "b"), options=options))
    done = [(event.task, event.host, event.result["msg"]) for event in trial.events if event.type == "runner_on_ok"]
    assert done == [("wanted", "b", "True True 7")]


REFUSALS = {
    "a syntax error": ("- hosts: all\n  tasks:\n    - debug: {\n", {}, "playbook_syntax_error", "YAML parsing failed"),
    "an unknown module": ("- hosts: all\n  tasks:\n    - nope: x\n", {}, "playbook_syntax_error", "nope"),
    "no play": ("just: text\n", {}, "playbook_syntax_error", "list of plays"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_ansible_refuses_to_begin_is_an_error_in_its_own_words(trial: Trial, tmp_path: Path, name: str) -> None:
    play, options, code, words = REFUSALS[name]
    outcome = trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play}), options=options))
    assert (outcome.status, outcome.error_code) == (Status.ERROR, code)
    assert words in (outcome.message or "")
    assert "Traceback" not in (outcome.message or "")
    assert trial.leftovers() == []


def test_a_wrong_vault_password_is_told_apart(trial: Trial, tmp_path: Path) -> None:
    trial.secrets = Secrets({"/credentials/vault_password": Password(SecretStr("not-the-password"))})
    play = HELLO.replace("gather_facts: false", "gather_facts: false\n  vars_files: [secret.yml]")
    outcome = trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play, "secret.yml": ENCRYPTED})))
    assert (outcome.status, outcome.error_code) == (Status.ERROR, "vault_password_wrong")


def test_the_vault_password_opens_the_projects_vault(trial: Trial, tmp_path: Path) -> None:
    trial.secrets = Secrets({"/credentials/vault_password": Password(SecretStr("right-password"))})
    play = HELLO.replace("gather_facts: false", "gather_facts: false\n  vars_files: [secret.yml]")
    repo = repository(tmp_path / "repo", {"site.yml": play, "secret.yml": ENCRYPTED})
    assert trial.run(spec_of(repo)).status is Status.SUCCESSFUL
    assert trial.result("greet")["msg"] == "hello vault"


@pytest.mark.parametrize(
    ("path", "code"), [("absent.yml", "playbook_not_found"), ("outside.yml", "path_outside_repository")]
)
def test_a_playbook_that_is_not_in_the_repository_is_refused(
    trial: Trial, tmp_path: Path, path: str, code: str
) -> None:
    (tmp_path / "elsewhere.yml").write_text(HELLO)
    repo = repository(tmp_path / "repo", {"site.yml": HELLO, "outside.yml": f"-> {tmp_path}/elsewhere.yml"})
    with pytest.raises(JobError) as caught:
        trial.run(spec_of(repo, playbook=path))
    assert caught.value.job_code == code
    assert not trial.playing
    assert trial.leftovers() == []


def test_the_projects_ansible_cfg_holds_but_not_for_secrets_and_logs(trial: Trial, tmp_path: Path) -> None:
    trial.secrets = Secrets({"/credentials/vault_password": Password(SecretStr("right-password"))})
    play = HELLO.replace("gather_facts: false", "gather_facts: false\n  vars_files: [secret.yml]\n  roles: [greeting]")
    config = "[defaults]\nroles_path = my/roles\nlog_path = ansible.log\nvault_password_file = absent\nforks = 9\n"
    config += "stdout_callback = minimal\n"
    files = {
        "site.yml": play,
        "secret.yml": ENCRYPTED,
        "ansible.cfg": config,
        "my/roles/greeting/tasks/main.yml": "- {name: from role, debug: {msg: '{{ ansible_forks }}'}}\n",
    }
    assert trial.run(spec_of(repository(tmp_path / "repo", files))).status is Status.SUCCESSFUL
    assert trial.result("from role")["msg"] == 9
    assert trial.events[0].type == "playbook_on_start"


def test_a_lost_lease_at_the_point_of_no_return_starts_nothing(trial: Trial, tmp_path: Path) -> None:
    def refuse(started: PhaseStarted) -> None:
        if started.phase is Phase.PLAYING:
            raise LeaseLost

    trial.on_report = refuse
    with pytest.raises(LeaseLost):
        trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": HELLO})))
    assert trial.events == []
    assert trial.leftovers() == []


def test_a_wish_to_stop_before_the_play_starts_nothing(trial: Trial, tmp_path: Path) -> None:
    trial.pulse = lambda: StopReason.CANCELED if trial.phases else None
    with pytest.raises(Stopped) as caught:
        trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": HELLO})))
    assert caught.value.reason is StopReason.CANCELED
    assert not trial.playing
    assert trial.leftovers() == []


def test_an_error_in_the_event_handler_ends_the_play_and_comes_out(trial: Trial, tmp_path: Path, sleep: str) -> None:
    class Broken(list):  # type: ignore[type-arg]
        def append(self, event: object) -> None:
            raise ValueError("handler is broken")

    trial.events = Broken()
    play = f"- hosts: all\n  gather_facts: false\n  tasks:\n    - command: {sleep}\n"
    with pytest.raises(ValueError, match="handler is broken"):
        trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play})))
    assert trial.leftovers() == []
