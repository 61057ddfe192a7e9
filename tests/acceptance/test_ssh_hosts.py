"""Plays on real managed hosts: SSH key, host keys and become password from the store."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import Service
from tests.servers.ssh_hosts import SshHosts

BECOME = play(
    """
- name: Leave a mark as root
  copy:
    content: "{{ mark }}"
    dest: /root/mark
    mode: "0600"
- name: Who am I
  command: id -un
  register: me
- assert:
    that: me.stdout == 'root'
""",
    become="true",
)


@pytest.fixture(scope="module")
def playbooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repo(tmp_path_factory.mktemp("repos") / "ssh", {"become.yml": BECOME, "ping.yml": play("- ping:")})


@pytest.fixture(scope="module")
def credentials(service: Service, ssh_hosts: SshHosts) -> dict[str, str]:
    key = {"private_key": ssh_hosts.private_key, "username": ssh_hosts.user}
    service.store_credential(name="hosts", kind="ssh_key", known_hosts=ssh_hosts.known_hosts, **key)
    service.store_credential(name="hosts-unknown", kind="ssh_key", **key)
    service.store_credential(name="sudo", kind="become_password", password=ssh_hosts.sudo_password)
    service.store_credential(name="sudo-wrong", kind="become_password", password="canary-wrong-password")
    return {"ssh": "hosts", "become_password": "sudo"}


def _job(ssh_hosts: SshHosts, playbooks: Path, path: str, **parts: Any) -> dict[str, Any]:
    inventory = {"type": "inline", "hosts": [host.address for host in ssh_hosts.hosts]}
    return {"source": {"type": "playbook", "repo": str(playbooks), "path": path}, "inventory": inventory, **parts}


def test_a_play_becomes_root_on_two_hosts(
    service: Service, ssh_hosts: SshHosts, playbooks: Path, credentials: dict[str, str]
) -> None:
    job_id = service.submit(
        _job(ssh_hosts, playbooks, "become.yml", credentials=credentials, extra_vars={"mark": "from the service"})
    )
    job = service.wait_for_closed(job_id)
    assert job["status"] == "successful", service.log_of(job_id)
    assert [host.run("cat", "/root/mark") for host in ssh_hosts.hosts] == ["from the service"] * 2
    with service.client as client:
        hosts = client.get(f"/api/v1/jobs/{job_id}/hosts").json()["items"]
    assert [host["ok"] for host in hosts] == [3, 3]


def test_a_host_whose_key_is_not_known_is_not_trusted(
    service: Service, ssh_hosts: SshHosts, playbooks: Path, credentials: dict[str, str]
) -> None:
    job_id = service.submit(_job(ssh_hosts, playbooks, "ping.yml", credentials={"ssh": "hosts-unknown"}))
    assert service.wait_for_closed(job_id)["status"] == "failed"
    assert "Host key verification failed" in service.log_of(job_id)


def test_a_wrong_become_password_fails_the_play_without_being_shown(
    service: Service, ssh_hosts: SshHosts, playbooks: Path, credentials: dict[str, str]
) -> None:
    wrong = credentials | {"become_password": "sudo-wrong"}
    job_id = service.submit(_job(ssh_hosts, playbooks, "become.yml", credentials=wrong, extra_vars={"mark": ""}))
    assert service.wait_for_closed(job_id)["status"] == "failed"
    assert "canary-wrong-password" not in service.log_of(job_id)


def test_an_unreachable_host_fails_the_job_and_the_next_one_runs(
    service: Service, ssh_hosts: SshHosts, playbooks: Path, credentials: dict[str, str]
) -> None:
    spec = _job(ssh_hosts, playbooks, "ping.yml", credentials=credentials)
    spec["inventory"] = {
        "type": "inline",
        "hosts": ["127.0.0.1"],
        "host_vars": {"127.0.0.1": {"ansible_port": 1}},
    }
    job_id = service.submit(spec)
    job = service.wait_for_closed(job_id)
    assert job["status"] == "failed"
    assert job["progress"]["hosts_failed"] == 1
    with service.client as client:
        [host] = client.get(f"/api/v1/jobs/{job_id}/hosts").json()["items"]
    assert host["unreachable"] == 1
    following = service.submit(_job(ssh_hosts, playbooks, "ping.yml", credentials=credentials))
    assert service.wait_for_status(following)["status"] == "successful"
