"""Real plays around roles: of a repository, and of collections from a Galaxy server, in both isolations."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import LOCAL, Trial, repository
from tests.servers.galaxy import GalaxyServer, archive, galaxy_server, pack

from ansible_api.credentials.secrets import Secrets, Token
from ansible_api.egress import Policy
from ansible_api.errors import JobError
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Phase, Status
from ansible_api.settings import Isolation

TOKEN = "galaxy-play-token"
# What does not differ between the isolations is shown in one.
ONCE = pytest.mark.parametrize("isolation", [Isolation.AUTO], indirect=True)
SAY = '- name: say\n  debug: {msg: "{{ word }} {{ role_name }} {{ ansible_facts | length > 20 }}"}\n'
MODULE = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={})
module.exit_json(changed=False, told="by a module")
"""
ROLES = {
    "roles/nginx/tasks/main.yml": SAY,
    "roles/nginx/defaults/main.yml": "word: default\n",
    "roles/nginx/meta/main.yml": "dependencies: [common, other]\n",
    "roles/common/tasks/main.yml": "- name: common\n  debug: {msg: common}\n",
    "more/roles/nginx/tasks/main.yaml": "- name: more\n  debug: {msg: more}\n",
    "more/roles/nginx/meta/main.yml": "dependencies: [beside, common]\n",
    "more/roles/beside/tasks/main.yml": "- name: beside\n  debug: {msg: beside}\n",
    "roles/other/tasks/main.yml": "- name: other\n  debug: {msg: other}\n",
    "roles/empty/meta/main.yml": "dependencies: []\n",
    "roles/outside": "-> /etc",
    "roles/tricky/tasks/main.yml": "-> /etc/hostname",
}


@pytest.fixture(scope="module")
def galaxy() -> Iterator[GalaxyServer]:
    with galaxy_server(TOKEN) as server:
        files = {
            "README.md": "tools",
            "plugins/modules/tell.py": MODULE,
            "roles/speak/tasks/main.yml": f"{SAY}- name: tell\n  acme.tools.tell:\n",
            "roles/speak/defaults/main.yml": "word: hello\n",
            "roles/silent/meta/main.yml": "dependencies: []\n",
        }
        for version in ("1.0.0", "2.0.0"):
            server.add(pack("acme.tools", version, files))
        role = {"r/meta/main.yml": b"dependencies: []\n", "r/tasks/main.yml": b"- name: greet\n  debug: {msg: hi}\n"}
        server.roles["acme.greet", "1.0.0"] = archive(role)
        yield server


@pytest.fixture
def playing(trial: Trial) -> Trial:
    """A trial that may reach the Galaxy server, with its token."""
    trial.config = replace(trial.config, egress=Policy(allow_private=True, allow_loopback=True))
    trial.secrets = Secrets({"/source/galaxy_credential": Token(SecretStr(TOKEN))})
    return trial


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    return repository(tmp_path / "roles.git", ROLES)


def spec(source: dict[str, Any], **parts: Any) -> JobSpec:
    inventory = {"type": "inline", "hosts": ["a"], "group_vars": {"all": LOCAL}}
    return JobSpec.model_validate({"source": source, "inventory": inventory, **parts})


def role(repo: Path, path: str, **more: Any) -> dict[str, Any]:
    return {"type": "role", "repo": str(repo), "path": path, **more}


def of_collection(galaxy: GalaxyServer, name: str = "speak", **more: Any) -> dict[str, Any]:
    parts = {"type": "collection_role", "collection": "acme.tools", "role": name, "galaxy_server": galaxy.url}
    return {**parts, **more}


def told(trial: Trial) -> list[str]:
    return [event.task for event in trial.events if event.type == "runner_on_ok" and event.task]


class TestRoleOfARepository:
    def test_is_played_on_all_hosts_with_its_dependencies(self, trial: Trial, roles: Path):
        outcome = trial.run(spec(role(roles, "roles/nginx", role_vars={"word": "hello"})))
        assert (outcome.status, outcome.return_code) == (Status.SUCCESSFUL, 0)
        assert told(trial) == ["Gathering Facts", "common", "other", "say"]
        assert trial.result("say")["msg"] == "hello nginx True"
        assert {event.play for event in trial.events if event.play} == {"nginx"}
        assert trial.leftovers() == []

    @ONCE
    def test_extra_vars_win_over_role_vars_and_facts_can_be_left_out(self, trial: Trial, roles: Path):
        source = role(roles, "roles/nginx", role_vars={"word": "role"})
        trial.run(spec(source, extra_vars={"word": "extra"}, options={"gather_facts": False}))
        assert trial.result("say")["msg"] == "extra nginx False"
        assert "Gathering Facts" not in told(trial)

    @ONCE
    def test_two_roles_of_one_name_are_not_mixed_up(self, trial: Trial, roles: Path):
        trial.run(spec(role(roles, "more/roles/nginx"), options={"gather_facts": False}))
        assert told(trial) == ["beside", "common", "more"]

    @ONCE
    def test_finds_the_collections_of_its_repository(self, trial: Trial, tmp_path: Path):
        files = {
            "roles/r/tasks/main.yml": "- name: tell\n  own.kept.tell:\n",
            "collections/ansible_collections/own/kept/plugins/modules/tell.py": MODULE,
        }
        trial.run(spec(role(repository(tmp_path / "repo", files), "roles/r"), options={"gather_facts": False}))
        assert trial.result("tell")["told"] == "by a module"

    @ONCE
    def test_a_repository_may_be_a_role(self, trial: Trial, tmp_path: Path):
        repo = repository(tmp_path / "ansible-role-web.git", {"tasks/main.yml": SAY})
        outcome = trial.run(spec(role(repo, ".", role_vars={"word": "whole"}), options={"gather_facts": False}))
        assert outcome.status is Status.SUCCESSFUL
        assert trial.result("say")["msg"] == "whole ansible-role-web False"

    @ONCE
    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("roles/absent", "role_not_found"),
            ("roles/empty", "role_without_tasks"),
            ("roles/nginx/tasks/main.yml", "role_not_found"),
            ("roles/outside", "path_outside_repository"),
            ("roles/tricky", "path_outside_repository"),
        ],
    )
    def test_what_is_no_role_is_refused(self, trial: Trial, roles: Path, path: str, code: str):
        with pytest.raises(JobError) as caught:
            trial.run(spec(role(roles, path)))
        assert caught.value.job_code == code
        assert not trial.playing

    @ONCE
    def test_role_vars_are_shown_only_where_the_role_shows_them(self, trial: Trial, roles: Path):
        trial.run(spec(role(roles, "roles/nginx", role_vars={"word": "x", "quiet": "role-var-secret"})))
        assert "role-var-secret" not in trial.text


class TestRoleOfACollection:
    def test_is_installed_and_played(self, playing: Trial, galaxy: GalaxyServer):
        source = of_collection(galaxy, version=">=1.0.0,<2.0.0", role_vars={"word": "hello"})
        outcome = playing.run(spec(source))
        assert (outcome.status, outcome.message) == (Status.SUCCESSFUL, None)
        assert playing.result("say")["msg"] == "hello speak True"
        assert playing.result("tell")["told"] == "by a module"
        assert TOKEN not in playing.text
        (facts,) = [phase.facts for phase in playing.phases if phase.phase is Phase.INVENTORY]
        collections = [{"name": "acme.tools", "version": "1.0.0"}]
        assert facts["dependencies"] == {"cache": "miss", "collections": collections, "roles": []}
        assert playing.leftovers() == []

    @ONCE
    def test_a_role_that_it_does_not_have(self, playing: Trial, galaxy: GalaxyServer):
        with pytest.raises(JobError, match="it has: silent, speak") as caught:
            playing.run(spec(of_collection(galaxy, "shout")))
        assert caught.value.job_code == "role_not_found"

    @ONCE
    def test_a_role_without_tasks(self, playing: Trial, galaxy: GalaxyServer):
        with pytest.raises(JobError) as caught:
            playing.run(spec(of_collection(galaxy, "silent")))
        assert caught.value.job_code == "role_without_tasks"


HOSTILE = """
- hosts: all
  gather_facts: false
  roles: [acme.greet]
  tasks:
    - name: tell
      acme.tools.tell:
    - name: own
      include_role: {name: own}
    - name: write
      shell: echo broken > {{ path }}/ansible_collections/acme/tools/MANIFEST.json
      ignore_errors: true
      vars: {path: "{{ lookup('config', 'COLLECTIONS_PATHS')[0] }}"}
    - name: look
      command: ls {{ lookup('config', 'COLLECTIONS_PATHS')[0] }}/ansible_collections
"""
CALLBACK = """
import os, sys
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, 'notification', 'printer'
    def v2_playbook_on_start(self, playbook):
        self._display.display('PRINTED ' + repr(dict(os.environ)) + open('/proc/self/environ').read())
"""


class TestPlaybookWithRequirements:
    def files(self, galaxy: GalaxyServer) -> dict[str, str]:
        return {
            "site.yml": HOSTILE,
            "requirements.yml": "collections: [{name: acme.tools, version: 2.0.0}]\nroles: ['acme.greet,1.0.0']\n",
            "ansible.cfg": "[defaults]\nroles_path = mine\nlog_path = /tmp/stolen\nlocal_tmp = /tmp/x\n"
            "stdout_callback = minimal\ncallbacks_enabled = printer\n",
            "mine/own/tasks/main.yml": "- name: of the project\n  debug: {msg: own}\n",
            "callback_plugins/printer.py": CALLBACK,
        }

    def test_plays_with_what_is_installed_and_with_its_own(self, playing: Trial, galaxy: GalaxyServer, tmp_path: Path):
        repo = repository(tmp_path / "repo", self.files(galaxy))
        source = {"type": "playbook", "repo": str(repo), "path": "site.yml", "galaxy_server": galaxy.url}
        outcome = playing.run(spec(source))
        assert (outcome.status, outcome.message) == (Status.SUCCESSFUL, None)
        assert {"greet", "tell", "of the project", "look"} <= set(told(playing))
        written = {event.type for event in playing.events if event.task == "write" and event.host}
        if playing.config.isolation is Isolation.BUBBLEWRAP:
            assert "runner_on_failed" in written  # what is lent can only be read
        # A callback of the repository runs, and finds neither the token nor anything of the worker.
        assert "PRINTED" in playing.text
        for hidden in (TOKEN, "egress", "GALAXY_SERVER", "ANSIBLE_API_PROXY"):
            assert hidden not in playing.text
        assert not Path("/tmp/stolen").exists()
        assert playing.leftovers() == []
