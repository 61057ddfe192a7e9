"""Plays that print all they can reach, the git server that has them, and the credentials of the hosts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.canaries import Values
from tests.acceptance.leak_world import encrypted, locked
from tests.acceptance.repos import play
from tests.acceptance.service import Service
from tests.servers.git_servers import USERNAME, HttpsGitServer, git_repository, https_git_server
from tests.servers.ssh_hosts import SUDO_PASSWORD, SshHosts

NOT_SECRET = "what the vault file says"
TELL = play(
    """
- name: What Ansible knows of it
  debug:
    msg: "{{ ansible_become_password | default('nothing') }} and {{ answer }}"
- name: Everything Ansible knows
  debug:
    var: vars
- name: Become root with it
  command: id -un
- name: What the play can read
  shell: cat /dev/shm/ansible-api-*/*
  become: false
  delegate_to: localhost
  connection: local
  vars: {ansible_connection: local}
- name: The same in other words
  shell: for file in /dev/shm/ansible-api-*/*; do base64 -w 0 $file; echo; echo "user:$(cat $file)" | base64 -w 0; done
  become: false
  delegate_to: localhost
  vars: {ansible_connection: local}
- name: Its environment and processes
  shell: env; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\\\0' '\\\\n'
  become: false
  delegate_to: localhost
  vars: {ansible_connection: local}
- name: Fail with it
  shell: cat /dev/shm/ansible-api-*/* >&2; exit 3
  become: false
  delegate_to: localhost
  ignore_errors: true
  vars: {ansible_connection: local}
""",
    become="true",
    vars_files="[secret.yml]",
)
SLOW = play("- name: Wait\n  command: sleep 60", become="true")
ROOT = play("- command: id -un", become="true")


@contextmanager
def git_server(folder: Path, values: Values) -> Iterator[HttpsGitServer]:
    """A server with the plays, one of which needs a password of Ansible Vault's."""
    secret = encrypted(folder, values.vault, f"answer: {NOT_SECRET}\n", "default")
    git_repository(folder / "repos" / "plays").commit(
        {"tell.yml": TELL, "slow.yml": SLOW, "root.yml": ROOT, "secret.yml": secret}
    )
    with https_git_server(folder, folder / "repos") as git:
        git.token = values.token
        yield git


@contextmanager
def sudo_password(hosts: SshHosts, password: str) -> Iterator[None]:
    """Another password of the hosts' user, for a while."""
    for host in hosts.hosts:
        host.run("sh", "-c", f"echo {hosts.user}:{password} | chpasswd")
    try:
        yield
    finally:
        for host in hosts.hosts:
            host.run("sh", "-c", f"echo {hosts.user}:{SUDO_PASSWORD} | chpasswd")


def store_credentials(service: Service, values: Values, hosts: SshHosts) -> None:
    """What opens the hosts and the server of the plays, and wrong ones."""
    service.store_credential(
        name="hosts",
        kind="ssh_key",
        username=hosts.user,
        private_key=locked(hosts.private_key, values.passphrase),
        passphrase=values.passphrase,
        known_hosts=hosts.known_hosts,
    )
    for name, kind, field_name, value in (
        ("become", "become_password", "password", values.become),
        ("become-wrong", "become_password", "password", values.become_wrong),
        ("vault", "vault_password", "password", values.vault),
        ("vault-wrong", "vault_password", "password", values.vault_wrong),
        ("git", "git", "token", values.token),
        ("git-wrong", "git", "token", values.token_wrong),
    ):
        more = {"username": USERNAME} if kind == "git" else {}
        service.store_credential(name=name, kind=kind, **{field_name: value}, **more)
