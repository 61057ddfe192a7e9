import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.gathering import Gatherer
from tests.integration.execution.plays import Trial, repository, spec_of
from tests.servers.moto import Moto, moto
from tests.servers.processes import free_port
from tests.servers.webhook_sink import webhook_sink

from ansible_api.credentials.secrets import Secrets, Variables
from ansible_api.egress import Policy
from ansible_api.errors import TransientJobError
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
    told = facts(trial)
    assert (told["host_count"], told["matched_count"], sorted(told["matched_hosts"])) == (3, 2, ["web1", "web2"])
    assert "secret-of-the-cloud" not in trial.text
    assert trial.leftovers() == []


def facts(trial: Trial) -> dict[str, Any]:
    (found,) = [dict(phase.facts["inventory"]) for phase in trial.phases if phase.phase is Phase.STARTING]
    return json.loads(json.dumps(found))


def ec2(**config: Any) -> dict[str, Any]:
    return EC2 | {"config": EC2["config"] | config}


@pytest.fixture
def aws_gatherer(gatherer: Gatherer, cloud: Moto) -> Gatherer:
    gatherer.secrets = {"/inventory/cloud_credential": aws(cloud.url)}
    return gatherer


def test_a_tag_that_is_a_template_stays_text_in_what_the_play_reads(aws_gatherer: Gatherer) -> None:
    with aws_gatherer.gathered(EC2) as found:
        text = found.path.read_text()
    assert "!unsafe \"{{ lookup('pipe', 'touch " in text
    assert "secret-of-the-cloud" not in text


def test_an_empty_answer_of_a_cloud_is_an_error(aws_gatherer: Gatherer) -> None:
    error = aws_gatherer.refusal(ec2(filters={"tag:Role": "nobody"}))
    assert error.job_code == "inventory_empty"


CONFIGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown option": ({"keyed_grups": []}, "inventory_config_invalid", "unknown option keyed_grups"),
    "a value of the wrong type": ({"regions": 7}, "inventory_config_invalid", "Config 'regions'"),
    "a template that fails": (
        {"strict": True, "compose": {"x": "nothing.there"}},
        "inventory_config_invalid",
        "nothing",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_the_plugin_does_not_take_is_refused(aws_gatherer: Gatherer, name: str) -> None:
    config, code, words = CONFIGS[name]
    error = aws_gatherer.refusal(ec2(**config))
    assert (error.job_code, words in error.detail) == (code, True), error.detail
    assert error.detail.startswith("inventory: ")
    assert "\n" not in error.detail
    assert str(aws_gatherer.root) not in error.detail


def test_a_plugin_without_credentials_is_refused_and_asks_no_metadata_service(gatherer: Gatherer) -> None:
    error = gatherer.refusal(EC2)
    assert (error.job_code, "correct cloud_credential" in error.detail) == ("inventory_refused", True), error.detail


def test_an_unknown_plugin_and_one_whose_library_is_missing_are_told_apart(gatherer: Gatherer) -> None:
    unknown = gatherer.refusal({"type": "dynamic", "plugin": "no.such.plugin"})
    assert unknown.job_code == "inventory_plugin_not_found"
    assert "no.such.plugin" in unknown.detail
    bare = gatherer.refusal({"type": "dynamic", "plugin": "ngine_io.cloudstack.instance"})
    assert (bare.job_code, "(cs)" in bare.detail) == ("inventory_library_missing", True), bare.detail
    gone = gatherer.refusal({"type": "dynamic", "plugin": "kubernetes.core.k8s"})
    assert gone.job_code == "inventory_plugin_not_found", gone.detail


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cloud_where_the_service_may_not_go_is_denied(gatherer: Gatherer, scheme: str) -> None:
    with webhook_sink() as inside:
        address = f"{scheme}://127.0.0.1:{inside.port}"
        gatherer.secrets = {"/inventory/cloud_credential": aws(address)}
        gatherer.policy = Policy()
        error = gatherer.refusal(EC2)
        assert (error.job_code, isinstance(error, TransientJobError)) == ("inventory_denied", False), error.detail
        assert inside.requests == []


def test_a_cloud_that_is_away_is_worth_another_attempt(gatherer: Gatherer) -> None:
    gatherer.secrets = {"/inventory/cloud_credential": aws(f"http://127.0.0.1:{free_port()}", AWS_MAX_ATTEMPTS="1")}
    error = gatherer.refusal(EC2)
    assert (error.job_code, isinstance(error, TransientJobError)) == ("inventory_unreachable", True), error.detail
    assert "job:" not in error.detail  # the proxy's login


SEARCH = """
- hosts: all
  gather_facts: false
  tasks:
    - name: search
      shell: grep -rq 'key-of-the-[i]nventory' /dev/shm {{ playbook_dir }}/.. && echo seen || echo unseen
"""


def test_the_play_finds_no_file_of_a_credential_that_is_the_inventorys_alone(trial: Trial, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"site.yml": SEARCH})
    key = {"GOOGLE_APPLICATION_CREDENTIALS": SecretStr("key-of-the-inventory-" + tmp_path.name)}
    trial.secrets = Secrets({"/inventory/0/cloud_credential": Variables(files=key)})
    compose = {"ansible_connection": "'local'"}
    config = {"hosts": {"name": "{{ n }}1"}, "layers": {"n": ["web"]}}
    more = {"type": "dynamic", "plugin": "ansible.builtin.constructed", "config": {"compose": compose}}
    first = {"type": "dynamic", "plugin": "ansible.builtin.generator", "config": config, "cloud_credential": "gcp"}
    assert trial.run(spec_of(repo, inventory=[first, more])).status is Status.SUCCESSFUL
    assert trial.result("search")["stdout"] == "unseen"
