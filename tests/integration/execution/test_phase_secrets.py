"""What only prepares a play is gone when it begins."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import Trial, repository, spec_of

from ansible_api.credentials.secrets import Password, Secrets, Variables
from ansible_api.jobs.state import Status

LOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: files
      shell: "ls $(dirname $MINE)"
    - name: environment
      shell: env
"""
PLUGIN = """
DOCUMENTATION = '''
name: cloudy
options: {plugin: {required: true}}
'''
import os
from ansible.plugins.inventory import BaseInventoryPlugin

class InventoryModule(BaseInventoryPlugin):
    NAME = "cloudy"

    def verify_file(self, path):
        return path.endswith("cloudy.yml")

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path)
        assert open(os.environ["KEY_FILE"]).read() == "canary-of-the-inventory"
        assert os.environ["CLOUD_TOKEN"] == "canary-token-of-the-inventory"
        inventory.add_host("a")
        inventory.set_variable("a", "ansible_connection", "local")
"""


@pytest.fixture
def of_inventory() -> Variables:
    return Variables(
        {"CLOUD_TOKEN": SecretStr("canary-token-of-the-inventory")}, {"KEY_FILE": SecretStr("canary-of-the-inventory")}
    )


def test_credentials_of_an_inventory_are_gone_before_the_play(
    trial: Trial, tmp_path: Path, of_inventory: Variables
) -> None:
    files = {"site.yml": LOOK, "inventory_plugins/cloudy.py": PLUGIN}
    cfg = "[defaults]\ninventory_plugins = ./inventory_plugins\n"
    repo = repository(tmp_path / "repo", files | {"ansible.cfg": cfg})
    trial.secrets = Secrets(
        {
            "/inventory/cloud_credential": of_inventory,
            "/credentials/environment": Variables(files={"MINE": SecretStr("canary-of-the-play")}),
            "/credentials/vault_password": Password(SecretStr("canary-vault")),
        }
    )
    spec = spec_of(
        repo,
        inventory={"type": "dynamic", "plugin": "cloudy", "cloud_credential": "c"},
        credentials={"environment": "e", "vault_password": "v"},
    )
    outcome = trial.run(spec)
    assert outcome.status is Status.SUCCESSFUL, outcome
    files_seen = trial.result("files")["stdout"].split()
    assert [name.partition(".")[0].rstrip("0123456789abcdef") for name in files_seen if "variable_" in name] == [
        "variable_MINE_"
    ]
    assert "vault_password_0" in files_seen
    environment = trial.result("environment")["stdout"]
    assert "MINE=" in environment
    assert "CLOUD_TOKEN" not in environment
    assert "canary" not in trial.text
