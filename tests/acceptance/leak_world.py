"""Servers that need the secrets of every kind, some of which tell whatever they are sent; and the credentials."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from tests.acceptance.canaries import new_canary
from tests.acceptance.repos import play
from tests.acceptance.service import Service
from tests.servers.galaxy import GalaxyServer, galaxy_server, pack
from tests.servers.git_servers import GitRequest, HttpsGitServer, SshGitServer, git_repository, ssh_git_server
from tests.servers.moto import Moto, moto
from tests.servers.openbao import OpenBao, openbao
from tests.servers.ssh_hosts import SshHosts
from tests.servers.webhook_sink import Answer, Received, WebhookSink, webhook_sink

REGION, PROJECT, ACCESS_KEY = "us-west-2", "project-of-canaries", "AKIACANARIES"
TELL = Path(__file__).with_name("leak_tell.py")
EVERYTHING = play(
    """
- name: What the vault files say
  debug: {msg: "{{ answer }} {{ second }}"}
- name: Everything Ansible knows
  debug: {var: vars}
- name: What filters make of it
  debug:
    msg:
      - "{{ lookup('env', 'WILD') }}"
      - "{{ lookup('env', 'WILD') | to_json }}"
      - "{{ lookup('env', 'WILD') | to_yaml }}"
      - "{{ lookup('env', 'WILD') | to_nice_yaml }}"
      - "{{ lookup('env', 'WILD') | quote }}"
      - "{{ lookup('env', 'WILD') | urlencode }}"
      - "{{ lookup('env', 'WILD') | b64encode }}"
- name: Tell all there is
  command: python3 tell.py
  delegate_to: localhost
  vars: {ansible_connection: local, ansible_become: false}
- name: Processes
  shell: cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\\\0' '\\\\n'
  delegate_to: localhost
  vars: {ansible_connection: local, ansible_become: false}
- name: Fail with it
  shell: python3 tell.py >&2; exit 3
  delegate_to: localhost
  ignore_errors: true
  vars: {ansible_connection: local, ansible_become: false}
- name: Become root
  command: id -un
  become: true
- include_role: {name: sub}
- include_role: {name: side}
""",
    vars_files="[one.yml, two.yml]",
)
NAMED = play("- name: Say its name\n  debug: {msg: '{{ inventory_hostname }} {{ note }}'}")
SHOUT = '''
import json
import os
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = """
name: shout
short_description: raises what it knows
options: {plugin: {required: true}, before: {type: int, default: 0}}
"""


class InventoryModule(BaseInventoryPlugin):
    NAME = "canary.leaky.shout"

    def verify_file(self, path):
        return True

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        known = [os.environ[name] for name in ("AWS_SECRET_ACCESS_KEY", "WILD") if name in os.environ]
        raise AnsibleParserError("x" * self.get_option("before") + " ".join([*known, json.dumps(known)]))
'''


@dataclass(frozen=True)
class Kinds:
    """One secret of each kind beyond those of `Values`."""

    vault_two: str = field(default_factory=lambda: new_canary("vault-two"))
    git_passphrase: str = field(default_factory=lambda: new_canary("git-passphrase"))
    hub: str = field(default_factory=lambda: new_canary("hub"))
    hub_wrong: str = field(default_factory=lambda: new_canary("hub-wrong"))
    aws: str = field(default_factory=lambda: new_canary("aws"))
    azure: str = field(default_factory=lambda: new_canary("azure"))
    openstack: str = field(default_factory=lambda: new_canary("openstack"))
    cmdb: str = field(default_factory=lambda: new_canary("cmdb"))
    wild: str = field(default_factory=lambda: new_canary("wild"))
    wild_two: str = field(default_factory=lambda: new_canary("wild-two"))
    inline: str = field(default_factory=lambda: new_canary("inline"))
    replaced: str = field(default_factory=lambda: new_canary("replaced"))
    vault_wrong: str = field(default_factory=lambda: new_canary("bao-wrong"))

    @property
    def wild_text(self) -> str:
        """Around the canaries all that is written otherwise in one form or another."""
        return f'it\'s "{self.wild}" \\ % & + / <ü☃> $x\n\'second\' {self.wild_two}\t"line"'

    @property
    def header_text(self) -> str:
        return f"{self.cmdb}'%\"\\&+/<>"

    @property
    def aws_text(self) -> str:
        """With slashes, as real ones have them: a part of it looks like a path."""
        return f"/a/{self.aws}/b+c/"

    @cached_property
    def google_key(self) -> RSAPrivateKey:
        return generate_private_key(65537, 2048)

    @property
    def google_file(self) -> str:
        pem = self.google_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        names = {"type": "service_account", "project_id": PROJECT, "client_email": "robot@example.org"}
        return json.dumps({**names, "private_key": pem}, indent=2)

    def needles(self) -> dict[str, str | bytes]:
        """By name what is searched for."""
        prime = self.google_key.private_numbers().p.to_bytes(128, "big")[40:72]
        return {name.replace("_", " "): value for name, value in vars(self).items() if isinstance(value, str)} | {
            "google key": prime
        }


# Kinds that are variables of the play's environment by nature, and the token that ansible-galaxy wants there.
OF_PLAYS = frozenset({"aws", "azure", "openstack", "wild", "wild two", "inline"})
OF_INSTALLERS = frozenset({"hub", "hub wrong"})


def may_be_in_environment(name: str, environ: bytes) -> bool:
    """Whether a secret belongs into that environment of a process in a job's sandbox."""
    return name in (OF_INSTALLERS if b"ANSIBLE_GALAXY_SERVER_LIST=" in environ else OF_PLAYS)


class Echo(WebhookSink):
    """A server that answers with what it was sent, in the words of Galaxy, Vault, Keystone or a CMDB."""

    inventory = ""

    def take(self, received: Received) -> Answer:
        """Record a request, and answer it."""
        super().take(received)
        told = received.headers["Authorization"] or received.headers["X-Vault-Token"] or received.body.decode()
        token = told.rpartition(" ")[2]
        shouted = json.dumps({"errors": [{"code": told, "title": token, "detail": told}], "message": told}).encode()
        match received.path.split("/")[1]:
            case "cmdb":
                return Answer(200, {"X-Token": token}, self.inventory.encode())
            case "names":
                host = {token: {"ansible_connection": "local", "note": told}}
                return Answer(200, body=json.dumps({"all": {"hosts": host}}).encode())
            case "noise":
                return Answer(200, body=f"{told}: [{told}\n".encode())
            case "galaxy" if "collections" not in received.path:
                return Answer(200, body=b'{"available_versions": {"v3": "v3/"}}')
            case "galaxy":
                return Answer(400, {"Content-Type": "application/json"}, shouted)
            case "vault":
                return Answer(403, body=json.dumps({"errors": [told]}).encode())
            case _:
                return Answer(401, {"WWW-Authenticate": told, "Location": f"/{token}"}, shouted)

    def at(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@dataclass(frozen=True)
class LeakWorld:
    """The servers, and what opens them."""

    kinds: Kinds
    hosts: SshHosts
    git: SshGitServer
    repos: Path
    hub: GalaxyServer
    moto: Moto
    bao: OpenBao
    echo: Echo
    bao_token: str
    role: tuple[str, str]

    def needles(self) -> dict[str, str | bytes]:
        """By name what is searched for."""
        keys = {"git key": self.git.private_key, "stranger key": self.git.stranger_key}
        return {
            **self.kinds.needles(),
            **{name: seed_of(text) for name, text in keys.items()},
            "bao token": self.bao_token,
            "secret id": self.role[1],
        }


def seed_of(key: str) -> bytes:
    """What is in every form of an Ed25519 key."""
    return load_ssh_private_key(key.encode(), None).private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def locked(key: str, passphrase: str) -> str:
    """The same key with a passphrase."""
    lock = BestAvailableEncryption(passphrase.encode())
    return load_ssh_private_key(key.encode(), None).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, lock).decode()


@contextmanager
def leak_world(folder: Path, hosts: SshHosts, kinds: Kinds, vault: str, become: str) -> Iterator[LeakWorld]:
    """Everything started and filled."""
    for name in ("git", "moto", "bao"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        git = stack.enter_context(ssh_git_server(folder / "git"))
        hub = stack.enter_context(galaxy_server(kinds.hub))
        clouds = stack.enter_context(moto(folder / "moto"))
        bao = stack.enter_context(openbao(folder / "bao"))
        echo = Echo()
        stack.enter_context(webhook_sink(echo))
        _fill_vault(bao, hosts, kinds, become)
        hub.add(pack("canary.leaky", "1.0.0", {"plugins/inventory/shout.py": SHOUT}))
        clouds.run_instances({"Address": hosts.hosts[1].address})
        echo.inventory = json.dumps({"all": {"hosts": {hosts.hosts[0].address: {}}}})
        _fill_repositories(folder / "repos", git, kinds, vault)
        role = bao.approle("canary", ["canary"])
        yield LeakWorld(kinds, hosts, git, folder / "repos", hub, clouds, bao, echo, bao.token(["canary"]), role)


def _fill_vault(bao: OpenBao, hosts: SshHosts, kinds: Kinds, become: str) -> None:
    login = {"private_key": hosts.private_key, "username": hosts.user, "known_hosts": hosts.known_hosts}
    bao.put("secret", "canary/ssh", login)
    bao.put("secret", "canary/become", {"password": become})
    bao.put("secret", "canary/two", {"password": kinds.vault_two, "vault_id": "two"})
    bao.policy("canary", "secret/data/canary/*")


def _fill_repositories(root: Path, git: SshGitServer, kinds: Kinds, vault: str) -> None:
    role = git_repository(root / "role")
    commit = role.commit({"tasks/main.yml": "- debug: {msg: a role}\n", "meta/main.yml": "galaxy_info: {}\n"})
    requirements = {
        "collections": [{"name": "canary.leaky", "version": "1.0.0"}],
        "roles": [{"name": "side", "src": git.url(root / "role"), "scm": "git"}],
    }
    plays = git_repository(root / "everything")
    modules = '[submodule "sub"]\n\tpath = roles/sub\n\turl = ../role\n'
    plays.commit(
        {
            "site.yml": EVERYTHING,
            "named.yml": NAMED,
            "tell.py": TELL.read_text(),
            "one.yml": encrypted(root.parent, vault, "answer: one\n", "one"),
            "two.yml": encrypted(root.parent, kinds.vault_two, "second: two\n", "two"),
            "requirements.yml": json.dumps(requirements),
            ".gitmodules": modules,
        }
    )
    plays.git("update-index", "--add", "--cacheinfo", f"160000,{commit},roles/sub")
    plays.git("commit", "--quiet", "-m", "a submodule")
    git_repository(root / "plain").commit({"named.yml": NAMED, "site.yml": play("- debug: {msg: hello}")})


def encrypted(folder: Path, password: str, text: str, vault_id: str) -> str:
    """A file of Ansible Vault's."""
    (folder / "password").write_text(password)
    program = Path(sys.executable).parent / "ansible-vault"
    argv = [program, "encrypt", "--encrypt-vault-id", vault_id, "--vault-id", f"{vault_id}@{folder / 'password'}"]
    done = subprocess.run([*argv, "--output", "-"], input=text, check=True, capture_output=True, text=True)
    return done.stdout


def echoes(git: HttpsGitServer) -> None:
    """Have the repository `echo` of a git server refuse everybody in the words of their own login."""
    git_repository(git.root / "echo").commit({"site.yml": "[]"})

    def tamper(request: GitRequest, data: bytes) -> bytes:
        if "/echo/" not in request.path:
            return data
        said = f"ERR no access for {request.authorization} {git.token}\n".encode()
        return b"001e# service=git-upload-pack\n0000" + f"{len(said) + 4:04x}".encode() + said

    git.tamper = tamper


def store(service: Service, made: LeakWorld, vault: str, become: str) -> None:
    """A credential of every kind that opens these servers, and wrong ones."""
    kinds, url = made.kinds, made.bao.url
    login = {"username": made.hosts.user, "known_hosts": made.hosts.known_hosts}
    ssh = {"known_hosts": made.git.known_hosts}
    aws = {"access_key_id": ACCESS_KEY, "secret_access_key": kinds.aws_text, "region": REGION}
    stack = {"auth_url": made.echo.at("keystone"), "username": "robot", "project_name": PROJECT}
    role = {"role_id": made.role[0], "secret_id": made.role[1], "approle_mount": "canary"}
    key = locked(made.git.private_key, kinds.git_passphrase)
    for name, kind, fields in (
        ("ssh-password", "ssh_password", {"password": become, **login}),
        ("vault-one", "vault_password", {"password": vault, "vault_id": "one"}),
        ("vault-two", "vault_password", {"password": kinds.vault_two, "vault_id": "two"}),
        ("git-key", "git", {"private_key": key, "passphrase": kinds.git_passphrase, **ssh}),
        ("git-stranger", "git", {"private_key": made.git.stranger_key, **ssh}),
        ("hub", "galaxy_token", {"token": kinds.hub}),
        ("hub-wrong", "galaxy_token", {"token": kinds.hub_wrong}),
        ("aws", "aws", {**aws, "endpoint_url": made.moto.url}),
        ("azure", "azure", {"tenant": "t", "client_id": "robot", "client_secret": kinds.azure}),
        ("gcp", "gcp", {"service_account": kinds.google_file, "project": PROJECT}),
        ("openstack", "openstack", {**stack, "password": kinds.openstack}),
        ("bao-token", "hashicorp_vault", {"url": url, "token": made.bao_token}),
        ("bao-role", "hashicorp_vault", {"url": url, **role}),
        ("bao-wrong", "hashicorp_vault", {"url": url, "token": kinds.vault_wrong}),
        ("bao-echo", "hashicorp_vault", {"url": made.echo.at("vault"), "token": kinds.vault_wrong}),
        ("cmdb", "http", {"variables": {"CMDB_TOKEN": kinds.header_text}}),
        ("cmdb-plain", "http", {"variables": {"CMDB_TOKEN": kinds.cmdb}}),
        ("wild", "environment", {"variables": {"WILD": kinds.wild_text}}),
    ):
        service.store_credential(name=name, kind=kind, **fields)
