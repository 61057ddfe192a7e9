import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.gathering import Gatherer
from tests.integration.execution.plays import GIT, Trial, repository, spec_of
from tests.integration.execution.test_playing import ENCRYPTED

from ansible_api.credentials.secrets import Password, Secrets
from ansible_api.execution.environment import program
from ansible_api.jobs.state import Phase, Status

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: show, debug: {msg: "{{ [inventory_hostname, colour, size, who | default('nobody')] | join(' ') }}"}}
    - {name: beside, debug: {msg: "{{ lookup('file', inventory_dir ~ '/note') }}"}}
"""
FILES = {
    "inv/hosts.ini": "[web]\nb\na size=1\n[db]\nc\n[all:vars]\nansible_connection=local\ncolour=red\nsize=0\n",
    "inv/group_vars/all.yml": "colour: '{{ base }}ish'\nbase: green\n",
    "inv/group_vars/web/one.yml": "size: 2\n",
    "inv/host_vars/c.yml": "size: 3\n",
    "inv/note": "a note",
}
SCRIPT = """#!/bin/sh
touch {marker}
echo '{{"web": {{"hosts": ["a"], "vars": {{"note": "{{{{ 6 * 7 }}}}"}}}}, "_meta": {{"hostvars": {{}}}}}}'
"""


def git(repo: Path, path: str, **more: Any) -> dict[str, Any]:
    return {"type": "git", "repo": str(repo), "path": path, **more}


def executable(repo: Path, name: str) -> Path:
    (repo / name).chmod(0o755)
    subprocess.run([*GIT, "-C", str(repo), "commit", "-qam", "executable"], check=True)
    return repo


def head(repo: Path) -> str:
    return subprocess.check_output(["git", "-C", str(repo), "rev-parse", "HEAD"], text=True).strip()


def shown(trial: Trial, task: str) -> list[str]:
    return [event.result["msg"] for event in trial.events if event.type == "runner_on_ok" and event.task == task]


def test_variables_beside_a_git_inventory_hold_as_with_ansible_itself(trial: Trial, tmp_path: Path) -> None:
    project = repository(tmp_path / "project", {"site.yml": PLAY, "group_vars/all.yml": "size: none of these\n"})
    repo = repository(tmp_path / "repo", FILES | {"inv/group_vars/db.yml": ENCRYPTED})
    trial.secrets = Secrets({"/credentials/vault_password": Password(SecretStr("right-password"))})
    assert trial.run(spec_of(project, inventory=git(repo, "inv/hosts.ini"))).status is Status.SUCCESSFUL
    # As `ansible-playbook -i inv/hosts.ini` has it: a's own size beats its group's.
    assert sorted(shown(trial, "show")) == ["a greenish 1 nobody", "b greenish 2 nobody", "c greenish 3 vault"]
    assert shown(trial, "beside") == ["a note"] * 3
    (facts,) = [phase.facts["inventory"] for phase in trial.phases if phase.phase is Phase.STARTING]
    assert facts["matched_hosts"] == ["b", "a", "c"]
    assert facts["commits"] == {"/inventory": head(repo)}
    assert trial.leftovers() == []


def test_two_git_inventories_keep_the_variables_beside_each(gatherer: Gatherer, tmp_path: Path) -> None:
    one = repository(tmp_path / "one", {"hosts": "[web]\na\n", "group_vars/all.yml": "x: 1\ny: 1\n"})
    two = repository(tmp_path / "two", {"hosts": "[web]\nb\n", "group_vars/all.yml": "y: 2\n"})
    with gatherer.gathered([git(one, "hosts"), git(two, "hosts")]) as found:
        done = subprocess.run(
            [program("ansible-inventory"), "--list", *found.arguments], capture_output=True, text=True, check=True
        )
        theirs = subprocess.run(
            [program("ansible-inventory"), "--list", "-i", str(one / "hosts"), "-i", str(two / "hosts")],
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(done.stdout)["_meta"] == json.loads(theirs.stdout)["_meta"]
    assert json.loads(done.stdout)["_meta"]["hostvars"]["a"] == {"x": 1, "y": 2}


def test_a_directory_with_a_plugins_configuration_and_a_script_is_one_inventory(
    gatherer: Gatherer, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    files = {
        "inv/1.yml": "all: {hosts: {b: {role: db}}}",
        "inv/2": SCRIPT.format(marker=marker),
        "inv/3.yml": "plugin: ansible.builtin.constructed\nkeyed_groups: [{key: role, prefix: is}]\n",
    }
    repo = tmp_path / "repo"
    repository(repo, files)
    (repo / "inv/2").chmod(0o755)
    subprocess.run(
        ["git", "-C", str(repo), "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "x"], check=True
    )
    with gatherer.gathered(git(repo, "inv"), limit="is_db") as found:
        text = found.path.read_text()
    assert marker.exists()
    assert '"note": "{{ 6 * 7 }}"' in text  # a script's answer is trusted, as Ansible has it
    assert found.facts["matched_hosts"] == ["b"]
    assert found.facts["host_count"] == 2


def test_a_script_sees_nothing_of_the_worker(
    gatherer: Gatherer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-worker")
    monkeypatch.setenv("ANSIBLE_API_DATABASE_URL", "of-the-worker")
    script = '#!/bin/sh\nenv > {out}\necho \'{{"g": {{"hosts": ["a"]}}, "_meta": {{"hostvars": {{}}}}}}\'\n'
    repo = repository(tmp_path / "repo", {"s": script.format(out=tmp_path / "out")})
    (repo / "s").chmod(0o755)
    subprocess.run(
        ["git", "-C", str(repo), "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "x"], check=True
    )
    gatherer.facts(git(repo, "s"))
    environment = (tmp_path / "out").read_text()
    assert "of-the-worker" not in environment
    assert "https_proxy=http://job:" in environment


REFUSED: dict[str, tuple[dict[str, str], str, str, str]] = {
    "absent": ({"hosts": "a"}, "nowhere", "inventory_not_found", "no file or directory nowhere"),
    "a link out": ({"hosts": "-> /etc/hosts"}, "hosts", "path_outside_repository", "leads out"),
    "a link out of a directory": ({"inv/a": "x", "inv/b": "-> /etc/hosts"}, "inv", "path_outside_repository", "inv/b"),
    "a link to itself": ({"hosts": "-> hosts"}, "hosts", "path_outside_repository", "leads out"),
    "bad YAML": ({"hosts.yml": "all: ["}, "hosts.yml", "inventory_invalid", "YAML parsing failed"),
    "an unknown plugin": ({"x.yml": "plugin: no.such.thing"}, "x.yml", "inventory_plugin_not_found", "no.such.thing"),
    "encrypted without a password": (
        {"hosts.yml": ENCRYPTED},
        "hosts.yml",
        "inventory_not_decrypted",
        "vault_password",
    ),
    "no hosts": ({"hosts.yml": "all: {hosts: {}}"}, "hosts.yml", "inventory_empty", "no hosts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_repository_without_a_usable_inventory_is_refused(gatherer: Gatherer, tmp_path: Path, name: str) -> None:
    files, path, code, words = REFUSED[name]
    error = gatherer.refusal(git(repository(tmp_path / "repo", files), path))
    assert (error.job_code, words in error.detail) == (code, True), error.detail
    assert str(tmp_path) not in error.detail


def test_an_unknown_branch_is_told_by_its_place(gatherer: Gatherer, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"hosts": "a"})
    inline = {"type": "inline", "hosts": ["z"]}
    error = gatherer.refusal([inline, git(repo, "hosts", branch="nope")])
    assert error.job_code == "source_ref_not_found"
    assert error.detail.startswith("inventory/1: ")


def test_a_script_that_hangs_ends_at_the_time_limit(gatherer: Gatherer, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"s": "#!/bin/sh\nsleep 60\n"})
    (repo / "s").chmod(0o755)
    subprocess.run(
        ["git", "-C", str(repo), "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "x"], check=True
    )
    gatherer = replace(gatherer, limits=replace(gatherer.limits, timeout=2))
    error = gatherer.refusal(git(repo, "s"))
    assert (error.job_code, error.retryable) == ("inventory_unreachable", True)


def test_the_projects_own_plugins_and_settings_take_part(gatherer: Gatherer, tmp_path: Path) -> None:
    plugin = """
from ansible.plugins.inventory import BaseInventoryPlugin
DOCUMENTATION = '''
name: ours
options:
  plugin: {type: str}
  count: {type: int, default: 1}
'''
class InventoryModule(BaseInventoryPlugin):
    NAME = "ours"
    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        print("{ noise on stdout")
        for n in range(self.get_option("count")):
            inventory.add_host(f"h{n}")
            inventory.set_variable(f"h{n}", "note", "{{ 6 * 7 }}")
"""
    gatherer.project = {
        "ansible.cfg": "[defaults]\ninventory_plugins = plugins\nverbosity = 3\n[inventory]\nenable_plugins = no\n",
        "plugins/ours.py": plugin,
    }
    dynamic = {"type": "dynamic", "plugin": "ours", "config": {"count": 3}}
    with gatherer.gathered(dynamic) as found:
        assert found.facts["matched_hosts"] == ["h0", "h1", "h2"]
        assert '"note": !unsafe "{{ 6 * 7 }}"' in found.path.read_text()
    error = gatherer.refusal(dynamic | {"config": {"cuont": 3}})
    assert error.job_code == "inventory_config_invalid"
    assert error.detail == "inventory: unknown option cuont: correct config"
