import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import Trial, repository, spec_of
from tests.servers.moto import Moto, moto

from ansible_api.credentials.secrets import Secrets, Variables
from ansible_api.egress import Policy
from ansible_api.jobs.state import Phase, Status

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: show
      debug:
        msg: "{{ inventory_hostname }} {{ group_names | sort | join(' ') }} {{ tags.Note | default('') }}"
"""
EC2: dict[str, Any] = {
    "type": "dynamic",
    "plugin": "amazon.aws.aws_ec2",
    "config": {
        "regions": ["us-east-1"],
        "hostnames": ["tag:Name"],
        "keyed_groups": [{"key": "tags.Role", "prefix": "role"}],
        "compose": {"ansible_connection": "'local'"},
    },
    "cloud_credential": "cloud",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    directory = tmp_path_factory.mktemp("moto")
    with moto(directory) as server:
        server.run_instances(
            {"Name": "web1", "Role": "web", "Note": "{{ lookup('pipe', 'touch " + str(directory / "marker") + "') }}"},
            {"Name": "web2", "Role": "web"},
            {"Name": "db1", "Role": "db"},
        )
        yield server
        assert not (directory / "marker").exists()


def aws(url: str, **more: str) -> Variables:
    secret = {"AWS_ACCESS_KEY_ID": SecretStr("testing"), "AWS_SECRET_ACCESS_KEY": SecretStr("secret-of-the-cloud")}
    return Variables(secret, plain={"AWS_ENDPOINT_URL": url, **more})


def test_hosts_of_a_cloud_are_played_on_in_groups_made_of_their_tags(trial: Trial, tmp_path: Path, cloud: Moto) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": PLAY})
    trial.secrets = Secrets({"/inventory/cloud_credential": aws(cloud.url)})
    trial.config = replace(trial.config, egress=Policy(allow_loopback=True))
    assert trial.run(spec_of(repo, inventory=EC2, options={"limit": "role_web"})).status is Status.SUCCESSFUL
    shown = {event.host: event.result["msg"] for event in trial.events if event.type == "runner_on_ok"}
    assert set(shown) == {"web1", "web2"}
    assert shown["web2"].startswith("web2 aws_ec2 role_web")
    assert "{{ lookup('pipe'" in shown["web1"]
    assert facts(trial) == {"host_count": 3, "matched_count": 2, "matched_hosts": ["web1", "web2"]}
    assert "secret-of-the-cloud" not in trial.text
    assert trial.leftovers() == []


def facts(trial: Trial) -> dict[str, Any]:
    (found,) = [dict(phase.facts["inventory"]) for phase in trial.phases if phase.phase is Phase.STARTING]
    return json.loads(json.dumps(found))
