import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import Trial, repository, spec_of

from ansible_api.credentials.secrets import Secrets, Variables
from ansible_api.errors import JobError
from ansible_api.execution import runner
from ansible_api.jobs.state import Status

VICTIM = json.dumps({"event": "runner_on_ok", "event_data": {"play": "LEAKED-FROM-THE-WORKER"}})
# Runs in the process that prints the events, as any filter of a repository does.
FILTER = """
import base64, json, os, shutil, uuid
class FilterModule:
    def filters(self):
        return {"attack": attack}
def token(data):
    text = base64.b64encode(json.dumps(data).encode()).decode()
    return f"\\x1b[K{text}\\x1b[{len(text)}D\\x1b[K"
def say(name):
    os.write(1, (token({"uuid": name}) + "said\\n" + token({})).encode())
def attack(value, kind, victim):
    directory = os.path.join(os.environ["AWX_ISOLATED_DATA_DIR"], "job_events")
    name = str(uuid.uuid4())
    partial = os.path.join(directory, name + "-partial.json")
    if kind == "link":
        os.symlink(victim + "-partial.json", partial)
    elif kind == "path":
        name = os.path.relpath(victim, directory)
    elif kind == "absolute path":
        name = victim
    elif kind == "no text":
        name = {"a": [victim]}
    elif kind == "fifo":
        os.mkfifo(partial)
    elif kind == "huge":
        open(partial, "w").write(json.dumps({"event_data": {"play": "x" * 20_000_000}}))
    elif kind == "deep":
        open(partial, "w").write("[" * 200_000)
    elif kind == "nonsense":
        open(partial, "w").write(json.dumps({"event": 7, "created": [], "stdout": {}, "event_data": {
            "play": {}, "task": 3, "host": "\\ud800", "res": {"msg": "\\udfff", "deep": [[[]]]}}}))
    elif kind == "directory":
        try:
            os.rename(directory, directory + ".moved")
        except OSError:
            pass
        else:
            os.symlink(os.path.dirname(victim), directory)
            name = os.path.basename(victim)
    elif kind == "result files":
        for file in ("rc", "status", "command"):
            path = os.path.join(os.path.dirname(directory), file)
            try:
                if os.path.lexists(path):
                    os.unlink(path)
                os.symlink(victim + "-partial.json", path)
            except OSError:
                pass
    say(name)
    return value
"""
PLAY = """
- hosts: "{{ 'all' | attack(kind, victim) }}"
  gather_facts: false
  tasks:
    - debug: msg=still here
"""
KINDS = ["link", "path", "absolute path", "no text", "fifo", "huge", "deep", "nonsense", "directory", "result files"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_worker_neither_reads_nor_writes_what_a_play_points_it_to(trial: Trial, tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victims" / "5a5a5a5a-0000-4000-8000-000000000000"
    victim.parent.mkdir()
    file = victim.with_name(victim.name + "-partial.json")
    file.write_text(VICTIM)
    repo = repository(tmp_path / "repo", {"site.yml": PLAY, "filter_plugins/hostile.py": FILTER})
    outcome = trial.run(spec_of(repo, extra_vars={"kind": kind, "victim": str(victim)}, options={"timeout": 60}))
    assert [event for event in trial.events if event.stdout.strip() == "said"]
    assert file.read_text() == VICTIM
    if kind != "directory":  # then the play's own files go there, where nothing holds it back
        assert [path.name for path in victim.parent.iterdir()] == [file.name]
    assert "LEAKED" not in trial.text
    assert [event.seq for event in trial.events] == list(range(1, len(trial.events) + 1))
    assert all(len(event.to_json()) < 100_000 for event in trial.events)
    assert outcome.status.terminal
    assert trial.leftovers() == []


def test_a_play_that_takes_its_own_files_away_is_still_tidied_up(trial: Trial, tmp_path: Path) -> None:
    play = """
- hosts: all
  gather_facts: false
  tasks:
    - shell: |
        mkdir -p closed/inner $ANSIBLE_API_ARTIFACTS/closed
        touch closed/inner/file $ANSIBLE_API_ARTIFACTS/closed/file
        ln -s {{ kept }} $ANSIBLE_API_ARTIFACTS/link
        chmod 0 closed/inner closed $ANSIBLE_API_ARTIFACTS/closed $ANSIBLE_API_ARTIFACTS
"""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("of the worker")
    repo = repository(tmp_path / "repo", {"site.yml": play})
    assert trial.run(spec_of(repo, extra_vars={"kept": str(kept)})).status is Status.SUCCESSFUL
    assert trial.leftovers() == []
    assert (kept / "file").exists()


def test_an_ansible_cfg_that_leads_out_of_the_repository_is_not_read(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / "worker.cfg").write_text("[defaults]\nforks = 3\n")
    repo = repository(tmp_path / "repo", {"site.yml": PLAY, "ansible.cfg": f"-> {tmp_path}/worker.cfg"})
    with pytest.raises(JobError) as caught:
        trial.run(spec_of(repo))
    assert caught.value.job_code == "path_outside_repository"


def test_output_without_end_is_broken_off_before_it_fills_the_workers_memory(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SILENCE_LIMIT", 1024 * 1024)
    head = "def attack(value, kind, victim):"
    flood = FILTER.replace(head, head + "\n    while True: os.write(1, b'x' * 65536)")
    repo = repository(tmp_path / "repo", {"site.yml": PLAY, "filter_plugins/hostile.py": flood})
    with pytest.raises(JobError) as caught:
        trial.run(spec_of(repo, extra_vars={"kind": "flood", "victim": "none"}, options={"timeout": 60}))
    assert caught.value.job_code == "output_too_large"
    assert trial.leftovers() == []


def test_a_variable_that_would_be_read_as_arguments_of_the_sandbox_is_refused(trial: Trial, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    text = f"x\0--bind\0{outside}\0/tmp/outside"
    trial.secrets = Secrets({"/credentials/environment": Variables({"HOSTILE": SecretStr(text)})})
    touch = "- hosts: all\n  gather_facts: false\n  tasks: [{command: touch /tmp/outside/escaped}]\n"
    with pytest.raises(JobError) as caught:
        trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": touch})))
    assert caught.value.job_code == "credential_misfit"
    assert list(outside.iterdir()) == []
    assert trial.leftovers() == []
