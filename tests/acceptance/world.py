"""All that a request can name, for real: git, Galaxy, Automation Hub, EC2, CMDB and Vault servers, and managed hosts.

The documentation speaks of addresses such as git.example.com; `World.local` puts those of the servers in their place.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.repos import play
from tests.acceptance.service import Service
from tests.servers.galaxy import GalaxyServer, galaxy_server, pack
from tests.servers.git_servers import SshGitServer, git_repository, ssh_git_server
from tests.servers.moto import Moto, moto
from tests.servers.openbao import ROOT_TOKEN, OpenBao, openbao
from tests.servers.ssh_hosts import SshHosts
from tests.servers.webhook_sink import Answer, Received, WebhookSink, webhook_sink

VAULT_PASSWORD = "world-vault-password"
HUB_TOKEN, CMDB_TOKEN = "world-hub-token", "world-cmdb-token"
AWS_REGION = "us-west-2"
SECRET_FILE = "answer: forty-two\n"
WHO = """
- command: id -un
  register: me
- assert: {that: me.stdout == 'root'}
"""
SITE = play("- ping:\n  tags: [deploy]\n- debug: {msg: 'played on {{ inventory_hostname }}'}\n  tags: [debug]")
BECOME = play(WHO + "- assert: {that: answer == 'forty-two'}", become="true", vars_files="[../secret.yml]")
NGINX = "- assert: {that: nginx_port == 8080 and common_is_here}\n" + WHO.lstrip()
SWARM = "- assert: {that: swarm_manager}\n- ping:\n"
APP = "- ping:\n"


class CmdbSink(WebhookSink):
    """An HTTP server that gives its inventory to whoever has the token."""

    inventory = ""

    def take(self, received: Received) -> Answer:
        """Record a request, and answer it."""
        super().take(received)
        if received.headers["Authorization"] != f"Bearer {CMDB_TOKEN}":
            return Answer(401)
        return Answer(200, {"Content-Type": "application/yaml"}, self.inventory.encode())


@dataclass(frozen=True)
class World:
    """The servers, and where they are."""

    hosts: SshHosts
    git: SshGitServer
    repos: Path
    galaxy: GalaxyServer
    hub: GalaxyServer
    moto: Moto
    bao: OpenBao
    cmdb: CmdbSink
    webhooks: WebhookSink
    places: dict[str, str] = field(default_factory=dict)

    def local(self, text: str) -> str:
        """The text with the addresses of these servers."""
        for example, real in self.places.items():
            text = text.replace(example, real)
        return text

    def spec(self, **parts: Any) -> dict[str, Any]:
        """A request in the documentation's words, with the addresses of these servers."""
        document: dict[str, Any] = json.loads(self.local(json.dumps(parts)))
        return document

    def repo(self, name: str) -> str:
        return self.git.url(self.repos / name)

    def store_credentials(self, service: Service) -> None:
        """Every credential that the documentation names."""
        hosts = {"known_hosts": self.hosts.known_hosts, "username": self.hosts.user}
        git = {"private_key": self.git.private_key, "known_hosts": self.git.known_hosts}
        aws = {"access_key_id": "testing", "secret_access_key": "world-aws-secret", "endpoint_url": self.moto.url}
        for name, kind, fields in (
            ("prod-ssh-key", "ssh_key", {"private_key": self.hosts.private_key, **hosts}),
            ("prod-ssh-password", "ssh_password", {"password": self.hosts.sudo_password, **hosts}),
            ("prod-become", "become_password", {"password": self.hosts.sudo_password}),
            ("prod-vault", "vault_password", {"password": VAULT_PASSWORD}),
            ("github-deploy-key", "git", git),
            ("automation-hub-token", "galaxy_token", {"token": HUB_TOKEN}),
            ("aws-prod", "aws", {**aws, "region": AWS_REGION}),
            ("cmdb-api-token", "http", {"variables": {"CMDB_TOKEN": CMDB_TOKEN}}),
            ("hcp-vault-token", "hashicorp_vault", {"url": self.bao.url, "token": ROOT_TOKEN}),
        ):
            service.store_credential(name=name, kind=kind, **fields)


@contextmanager
def world(folder: Path, hosts: SshHosts) -> Iterator[World]:
    """Everything started and filled."""
    for name in ("git", "moto", "bao"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        git = stack.enter_context(ssh_git_server(folder / "git"))
        galaxy, hub = stack.enter_context(galaxy_server()), stack.enter_context(galaxy_server(HUB_TOKEN))
        clouds = stack.enter_context(moto(folder / "moto"))
        bao = stack.enter_context(openbao(folder / "bao"))
        cmdb, webhooks = CmdbSink(), WebhookSink()
        for sink in (cmdb, webhooks):
            stack.enter_context(webhook_sink(sink))
        made = World(hosts, git, folder / "repos", galaxy, hub, clouds, bao, cmdb, webhooks)
        _fill_repositories(folder / "repos", hosts)
        _fill_servers(made)
        made.places.update(_places(made))
        yield made


def _fill_repositories(root: Path, hosts: SshHosts) -> None:
    encrypted = root.parent / "secret.yml"
    encrypted.write_text(SECRET_FILE)
    (root.parent / "vault_password").write_text(VAULT_PASSWORD)
    program = Path(sys.executable).parent / "ansible-vault"
    argv = [program, "encrypt", "--vault-password-file", root.parent / "vault_password", encrypted]
    subprocess.run(argv, check=True, capture_output=True)
    git_repository(root / "ansible-playbooks").commit(
        {"site.yml": SITE, "deploy/webserver.yml": BECOME, "secret.yml": encrypted.read_text()}
    )
    roles = git_repository(root / "ansible-roles")
    roles.commit(
        {
            "roles/nginx/tasks/main.yml": NGINX,
            "roles/nginx/meta/main.yml": "dependencies: [common]\n",
            "roles/common/tasks/main.yml": "- set_fact: {common_is_here: true}\n",
        }
    )
    roles.git("tag", "v2.0.0")
    git_repository(root / "inventory").commit({"production/hosts.yml": _inventory(hosts)})


def _inventory(hosts: SshHosts) -> str:
    return json.dumps({"all": {"hosts": {host.address: {} for host in hosts.hosts}}})


def _fill_servers(made: World) -> None:
    made.galaxy.add(pack("community.general", "6.1.0", {"roles/docker_swarm/tasks/main.yml": SWARM}))
    made.hub.add(pack("mycompany.internal", "1.2.0", {"roles/app_deploy/tasks/main.yml": APP}))
    made.cmdb.inventory = _inventory(made.hosts)
    for host in made.hosts.hosts:
        made.moto.run_instances(
            {"Environment": "production", "Role": "web", "Address": host.address}, region=AWS_REGION
        )
    login = {"private_key": made.hosts.private_key, "username": made.hosts.user, "known_hosts": made.hosts.known_hosts}
    made.bao.put("secret", "ansible/prod-ssh", login)
    made.bao.put("secret", "ansible/prod-become", {"password": made.hosts.sudo_password})
    made.bao.put("secret", "sudo/prod", {"password": made.hosts.sudo_password})


def _places(made: World) -> dict[str, str]:
    first, second = (host.address for host in made.hosts.hosts[:2])
    return {
        "git@git.example.com:org/ansible-playbooks.git": made.repo("ansible-playbooks"),
        "git@git.example.com:org/ansible-roles.git": made.repo("ansible-roles"),
        "git@git.example.com:org/inventory.git": made.repo("inventory"),
        "https://galaxy.example.com": made.galaxy.url,
        "https://hub.example.com/api/galaxy/": made.hub.url,
        "https://cmdb.example.com/api/ansible/inventory": made.cmdb.url,
        "https://ci.example.com/webhook": made.webhooks.url,
        "10.0.1.10": first,
        "10.0.1.11": second,
    }
