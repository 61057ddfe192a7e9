"""Plays on real managed hosts: SSH key, host keys and become password from the store."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import Service
from tests.servers.openbao import OpenBao
from tests.servers.ssh_hosts import SshHosts

pytestmark = pytest.mark.parametrize("service", ["mariadb+redis"], indirect=True, scope="module")

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


def test_a_password_opens_the_hosts_as_a_key_does(service: Service, ssh_hosts: SshHosts, playbooks: Path) -> None:
    login = {"password": ssh_hosts.sudo_password, "username": ssh_hosts.user, "known_hosts": ssh_hosts.known_hosts}
    service.store_credential(name="hosts-password", kind="ssh_password", **login)
    service.store_credential(name="hosts-wrong", kind="ssh_password", **login | {"password": "canary-wrong-password"})
    right = service.submit(_job(ssh_hosts, playbooks, "ping.yml", credentials={"ssh": "hosts-password"}))
    wrong = service.submit(_job(ssh_hosts, playbooks, "ping.yml", credentials={"ssh": "hosts-wrong"}))
    assert service.wait_for_closed(right)["status"] == "successful", service.log_of(right)
    assert service.wait_for_closed(wrong)["error"]["code"] == "hosts_unreachable"
    for job_id in (right, wrong):
        assert ssh_hosts.sudo_password not in service.log_of(job_id)
        assert "canary-wrong-password" not in service.log_of(job_id)


def test_values_that_come_with_a_job_are_used_and_then_gone(
    service: Service, ssh_hosts: SshHosts, playbooks: Path, credentials: dict[str, str]
) -> None:
    from ansible_api.credentials.model import JobSecret
    from ansible_api.db import Database

    key = {"kind": "ssh_key", "private_key": ssh_hosts.private_key, "username": ssh_hosts.user}
    inline = {
        "ssh": {"type": "inline", "value": key | {"known_hosts": ssh_hosts.known_hosts}},
        "become_password": {
            "type": "inline",
            "value": {"kind": "become_password", "password": ssh_hosts.sudo_password},
        },
    }
    mark = {"mark": "with values of its own"}
    job_id = service.submit(_job(ssh_hosts, playbooks, "become.yml", credentials=inline, extra_vars=mark))
    assert service.wait_for_closed(job_id)["status"] == "successful", service.log_of(job_id)
    assert ssh_hosts.hosts[0].run("cat", "/root/mark") == mark["mark"]
    db = Database(service.env["DATABASE_URL"])
    try:
        assert db.read(lambda session: session.query(JobSecret).filter_by(job_id=job_id).count()) == 0
    finally:
        db.close()
    with service.client as client:
        again = client.post(f"/api/v1/jobs/{job_id}/relaunch")
        assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/credentials/ssh")
        again = client.post(f"/api/v1/jobs/{job_id}/relaunch", json={"credentials": credentials})
    assert again.status_code == 202, again.text
    assert service.wait_for_status(again.json()["id"])["status"] == "successful"


def test_only_the_hosts_that_failed_are_played_on_again(
    service: Service, ssh_hosts: SshHosts, playbooks: Path, credentials: dict[str, str]
) -> None:
    spec = _job(ssh_hosts, playbooks, "ping.yml", credentials=credentials)
    spec["inventory"]["hosts"].append("127.0.0.1")
    spec["inventory"]["host_vars"] = {"127.0.0.1": {"ansible_port": 1}}
    job_id = service.submit(spec)
    assert service.wait_for_closed(job_id)["status"] == "failed"
    with service.client as client:
        again = client.post(f"/api/v1/jobs/{job_id}/relaunch", json={"hosts": "failed"}).json()
        assert service.wait_for_closed(again["id"])["relaunch_of"] == job_id
        [host] = client.get(f"/api/v1/jobs/{again['id']}/hosts").json()["items"]
    assert (host["host"], host["unreachable"]) == ("127.0.0.1", 1)
    assert again["source"]["branch"] == service.job(job_id)["source"]["commit"]


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


def test_secrets_of_vault_open_the_hosts_and_are_shown_nowhere(
    service: Service, ssh_hosts: SshHosts, playbooks: Path, vault: OpenBao
) -> None:
    token = vault.token(["root"])
    service.store_credential(name="vault", kind="hashicorp_vault", url=vault.url, token=token)
    beside = {"username": ssh_hosts.user, "known_hosts": ssh_hosts.known_hosts}
    vault.put("secret", "ansible/prod-ssh", {"private_key": ssh_hosts.private_key, **beside})
    vault.put("secret", "ansible/prod-become", {"password": ssh_hosts.sudo_password})
    place = {"type": "hashicorp_vault", "vault_path": "secret/ansible/prod-ssh"}
    named = place | {"vault_key": "private_key", "vault_credential": "vault"}
    become = place | {"vault_path": "secret/ansible/prod-become"}
    loud = {"verbosity": 4}
    mark = {"mark": "by vault"}
    good = _job(ssh_hosts, playbooks, "become.yml", credentials={"ssh": named, "become_password": become})
    job_id = service.submit(good | {"options": loud, "extra_vars": mark})
    missing = service.submit(_job(ssh_hosts, playbooks, "ping.yml", credentials={"ssh": place | {"vault_key": "none"}}))
    assert service.wait_for_closed(job_id)["status"] == "successful", service.log_of(job_id)
    assert ssh_hosts.hosts[0].run("cat", "/root/mark") == mark["mark"]
    job = service.wait_for_closed(missing)
    assert (job["status"], job["error"]["code"]) == ("error", "vault_key_not_found")
    told = service.log_of(job_id) + str(job) + service.log("worker") + service.log("api")
    for secret in (token, ssh_hosts.sudo_password, ssh_hosts.private_key.splitlines()[2]):
        assert secret not in told
