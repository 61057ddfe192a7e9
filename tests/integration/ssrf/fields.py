"""Every field of a request that holds an address, with the code that goes there when a job runs.

An attempt does the real thing once with a host in that field, and gives what came of it: OK, or the code of the error.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from ansible_api.api.credential_tests import CredentialTest, try_out
from ansible_api.credentials.model import Kind
from ansible_api.credentials.probes import Verdict
from ansible_api.credentials.refs import HashicorpVaultRef
from ansible_api.credentials.resolve import InVault, Loaded
from ansible_api.credentials.secrets import Secrets, SshKey, Variables
from ansible_api.deliveries.send import attempt as deliver
from ansible_api.egress import Answer, Policy
from ansible_api.errors import AnsibleApiError, JobError
from ansible_api.execution.inventory_url import fetch_inventory
from ansible_api.execution.preparation import ExecutionConfig, GalaxyLimits
from ansible_api.execution.source import GitLimits
from ansible_api.jobs.inventories import UrlInventory
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Status
from ansible_api.settings import MIB, HostKeyPolicy, Isolation, Settings
from tests.integration.execution.asking import Job
from tests.integration.execution.gathering import Gatherer
from tests.integration.execution.plays import Trial
from tests.integration.git.workers import Worker
from tests.integration.ssrf.world import PORTS, World, name
from tests.servers.galaxy import archive
from tests.servers.git_servers import GitRepository
from tests.servers.openbao import ROOT_TOKEN
from tests.ssrf_addresses import HOSTS

OK = "ok"
POLICY = Policy(allow_private=True)
PATIENCE = 90.0  # seconds; nothing here is meant to run into a limit
LIMITS = GitLimits(
    timeout=PATIENCE,
    memory=1024 * MIB,
    size=64 * MIB,
    cache_size=1024 * MIB,
    egress=POLICY,
    host_keys=HostKeyPolicy.ACCEPT_NEW,
    connect_timeout=PATIENCE,
)
SETTINGS = Settings(
    database_url=SecretStr("sqlite://"),
    redis_url=SecretStr("redis://nowhere"),
    master_key=SecretStr("x"),
    objects_dir=Path("/nowhere"),
    ssh_host_keys=HostKeyPolicy.ACCEPT_NEW,
)
HOSTS_FILE = "all: {hosts: {a: {ansible_connection: local}}}"
AWS = {"access_key_id": "testing", "secret_access_key": "testing", "region": "us-east-1"}
OPENSTACK = {"username": "u", "password": "tests", "project_name": "p"}
EC2 = {"type": "dynamic", "plugin": "amazon.aws.aws_ec2", "config": {"regions": ["us-east-1"]}}
TOOLS = "acme.tools 1.0.0"
_numbers = itertools.count(1)

Attempt = Callable[[World, str], str]


def outcome(act: Callable[[], object]) -> str:
    """OK, or the code of what was raised or given instead."""
    try:
        done = act()
    except JobError as error:
        return error.job_code
    except AnsibleApiError as error:
        return error.code
    except ValidationError:
        return "invalid"
    if isinstance(done, AnsibleApiError):
        return done.code
    if isinstance(done, Verdict) and not done.ok:
        return "egress_denied" if "may not be asked" in done.detail else "not_ok"
    if isinstance(done, Answer) and done.status >= 300:
        return str(done.status)
    return OK


def fresh(world: World) -> Path:
    """A directory for one attempt."""
    path = world.directory / f"attempt{next(_numbers)}"
    path.mkdir()
    return path


def web(host: str, server: str = "web", path: str = "") -> str:
    return f"http://{host}:{PORTS[server]}/{path}"


# What is asked over HTTP by the service itself


def callback(world: World, host: str) -> str:
    return outcome(lambda: deliver(web(host), "m", "{}", [], policy=POLICY, timeout=PATIENCE))


def inventory_url(world: World, host: str) -> str:
    def act() -> str:
        inventory = UrlInventory(type="url", url=web(host))
        return fetch_inventory(inventory, None, POLICY, timeout=PATIENCE, limit=4 * MIB, keep_going=lambda: True)

    return outcome(act)


def vault(world: World, host: str) -> str:
    ref = HashicorpVaultRef(type="hashicorp_vault", vault_path="secret/ssrf", vault_key=None)
    entrance = {"url": web(host, "vault").rstrip("/"), "token": ROOT_TOKEN}
    loaded = Loaded({"/credentials/become_password": InVault(ref, "v")}, {"v": entrance})
    return outcome(lambda: loaded.open(POLICY, PATIENCE))


def vault_of_web(world: World, host: str) -> str:
    """As `vault`, at the server that answers as told."""
    ref = HashicorpVaultRef(type="hashicorp_vault", vault_path="secret/ssrf", vault_key=None)
    entrance = {"url": web(host).rstrip("/"), "token": ROOT_TOKEN}
    loaded = Loaded({"/credentials/become_password": InVault(ref, "v")}, {"v": entrance})
    return outcome(lambda: loaded.open(POLICY, PATIENCE))


def tried(kind: Kind, fields: Mapping[str, Any], **test: Any) -> str:
    return outcome(lambda: try_out(CredentialTest(**test), kind, fields, SETTINGS))


def trial_of_http(world: World, host: str) -> str:
    return tried(Kind.HTTP, {"variables": {"T": "tests"}}, url=web(host))


def trial_of_galaxy(world: World, host: str) -> str:
    return tried(Kind.GALAXY_TOKEN, {"token": world.galaxy.token}, galaxy_server=web(host, "galaxy", "api/"))


def trial_of_aws(world: World, host: str) -> str:
    return tried(Kind.AWS, AWS | {"endpoint_url": web(host, "moto")})


def trial_of_openstack(world: World, host: str) -> str:
    return tried(Kind.OPENSTACK, OPENSTACK | {"auth_url": web(host)})


def trial_of_vault(world: World, host: str) -> str:
    return tried(Kind.HASHICORP_VAULT, {"url": web(host, "vault").rstrip("/"), "token": ROOT_TOKEN})


def trial_of_git(world: World, host: str) -> str:
    return tried(Kind.GIT, {"username": "robot", "token": "tests"}, repo=https_repo(host))


def trial_of_ssh_key(world: World, host: str) -> str:
    return tried(Kind.SSH_KEY, {"private_key": world.ssh.private_key}, repo=ssh_repo(world, host))


# Git


def https_repo(host: str, repository: str = "project") -> str:
    return f"https://{host}:{PORTS['git']}/{repository}/.git"


def ssh_repo(world: World, host: str, repository: str = "project") -> str:
    return f"ssh://{world.ssh.user}@{host}:{PORTS['ssh']}{world.repositories / repository}"


def worker(world: World) -> Worker:
    home = fresh(world)
    (home / "secrets").mkdir(mode=0o700)
    return Worker(home, LIMITS)


def key(world: World) -> SshKey:
    return SshKey(SecretStr(world.ssh.private_key))


def source_https(world: World, host: str) -> str:
    return outcome(lambda: worker(world).checkout(https_repo(host), "main"))


def source_ssh(world: World, host: str) -> str:
    return outcome(lambda: worker(world).checkout(ssh_repo(world, host), "main", key(world)))


def source_scp_like(world: World, host: str) -> str:
    repo = f"{world.ssh.user}@{host}:{world.repositories / 'project'}"
    return outcome(lambda: worker(world).checkout(repo, "main", key(world)))


def submodule(world: World, host: str) -> str:
    """The repository itself may be reached; what its .gitmodules names is in question."""
    repository = GitRepository(world.repositories / "with_submodule")
    repository.commit({".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = {https_repo(host)}\n'})
    commit = GitRepository(world.repositories / "project").git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},s")
    repository.git("commit", "--quiet", "--allow-empty", "-m", "submodule")
    return outcome(lambda: worker(world).checkout(str(repository.path), "main", submodules=True))


def inventory_repo(world: World, host: str) -> str:
    inventory = {"type": "git", "repo": https_repo(host), "path": "hosts.yml", "branch": "main"}
    return gathered(replace(gatherer(world), git=LIMITS), inventory)


# Ansible's own programs, in their sandbox


def gatherer(world: World) -> Gatherer:
    return Gatherer(fresh(world), policy=POLICY, isolation=Isolation.AUTO).with_limits(timeout=PATIENCE)


def gathered(gatherer: Gatherer, inventory: dict[str, Any]) -> str:
    return outcome(lambda: gatherer.facts(inventory))


def inventory_url_gathered(world: World, host: str) -> str:
    return gathered(gatherer(world), {"type": "url", "url": web(host)})


def aws_plugin(world: World, host: str) -> str:
    keys = {"AWS_ACCESS_KEY_ID": SecretStr("testing"), "AWS_SECRET_ACCESS_KEY": SecretStr("testing")}
    cloud = Variables(keys, plain={"AWS_ENDPOINT_URL": web(host, "moto")})
    asking = replace(gatherer(world), secrets={"/inventory/cloud_credential": cloud})
    return gathered(asking, EC2 | {"cloud_credential": "cloud"})


def galaxy(world: World, *collections: str, requirements: str = "", **source: Any) -> str:
    home = fresh(world)
    config = ExecutionConfig(
        home / "work", home / "git", egress=POLICY, git=LIMITS, galaxy=GalaxyLimits(timeout=PATIENCE, ttl=0)
    )
    job = Job(config, world.galaxy)
    job.secrets = Secrets({**job.secrets.at, "/source/git_credential": key(world)})
    job.files = {"requirements.yml": requirements} if requirements else {}
    server = {"galaxy_server": web(name("outside"), "galaxy", "api/")}
    return outcome(lambda: job.prepare(*collections, **(server | source)))


def galaxy_server(world: World, host: str) -> str:
    world.galaxy.download_base = web(name("outside"), "galaxy").rstrip("/")
    return galaxy(world, TOOLS, galaxy_server=web(host, "galaxy", "api/"))


def galaxy_download(world: World, host: str) -> str:
    world.galaxy.download_base = web(host, "galaxy").rstrip("/")
    return galaxy(world, TOOLS)


def role_download(world: World, host: str) -> str:
    world.galaxy.download_base = web(host, "galaxy").rstrip("/")
    return galaxy(world, requirements="roles: [{src: acme.greet, version: 1.0.0, name: greet}]\n")


def galaxy_source(world: World, host: str) -> str:
    world.galaxy.download_base = web(name("outside"), "galaxy").rstrip("/")
    entry = f"{{name: acme.free, version: 1.0.0, source: '{web(host, 'galaxy', 'api/')}'}}"
    world.galaxy.token, token = None, world.galaxy.token
    try:
        return galaxy(world, requirements=f"collections: [{entry}]\n")
    finally:
        world.galaxy.token = token


def collection_of_git(world: World, host: str) -> str:
    entry = f"{{source: '{https_repo(host, 'collection')}', type: git, version: main}}"
    return galaxy(world, requirements=f"collections: [{entry}]\n")


def collection_of_ssh(world: World, host: str) -> str:
    repo = ssh_repo(world, host, "collection")
    entry = f"{{source: '{repo}', type: git, version: main}}"
    return galaxy(world, requirements=f"collections: [{entry}]\n", repo=repo)


def collection_of_url(world: World, host: str) -> str:
    return galaxy(world, requirements=f"collections: [{{source: '{web(host, path='tools.tar.gz')}', type: url}}]\n")


def role_of_git(world: World, host: str) -> str:
    return galaxy(
        world, requirements=f"roles: [{{src: '{https_repo(host, 'role')}', scm: git, name: mine, version: main}}]\n"
    )


def role_of_url(world: World, host: str) -> str:
    return galaxy(world, requirements=f"roles: [{{src: '{web(host, path='role.tar.gz')}', name: mine}}]\n")


def role_of_role(world: World, host: str) -> str:
    """A role may be had, and asks for another one."""
    wanted = f"dependencies: [{{src: '{https_repo(host, 'role')}', scm: git, name: inner, version: main}}]\n"
    world.web.files["/needy.tar.gz"] = archive({"r-1/meta/main.yml": wanted.encode(), "r-1/tasks/main.yml": b"[]\n"})
    address = web(name("outside"), path="needy.tar.gz")
    return galaxy(world, requirements=f"roles: [{{src: '{address}', name: mine}}]\n")


def whole_job(world: World, host: str) -> str:
    """A play from a repository on the hosts of a server, both at the same place."""
    home = fresh(world)
    trial = Trial(ExecutionConfig(home / "work", home / "git", egress=POLICY, git=LIMITS))
    source = {"type": "playbook", "repo": https_repo(host), "path": "site.yml"}
    spec = JobSpec.model_validate({"source": source, "inventory": {"type": "url", "url": web(host)}})

    def act() -> None:
        assert trial.run(spec).status is Status.SUCCESSFUL

    return outcome(act)


CHEAP = {"rebind": 20, "flip": 20, "both": 4, "two-families": 2, "outside": 2}
GIT = {"rebind": 6, "flip": 4, "both": 2, "two-families": 2, "outside": 1}
DEAR = {"rebind": 2, "outside": 1, "both": 1}
DEAREST = {"rebind": 2, "outside": 1}
FEW = ("127.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]", "[fd00:ec2::254]", "169.254.169.254", "localhost")
NEVER = ("inside", "six", "mapped", "metadata", "anything")


@dataclass(frozen=True)
class Field:
    """An address's way; `times` is how often each name is tried, then come `never` and `literals`."""

    attempt: Attempt
    server: str
    times: Mapping[str, int]
    never: tuple[str, ...] = NEVER
    literals: tuple[str, ...] = tuple(HOSTS.values())


FIELDS: Mapping[str, Field] = {
    "options.callback_url": Field(callback, "web", CHEAP),
    "inventory.url": Field(inventory_url, "web", CHEAP),
    "hashicorp_vault.url": Field(vault, "vault", CHEAP),
    "test of http: url": Field(trial_of_http, "web", CHEAP),
    "test of galaxy_token: galaxy_server": Field(trial_of_galaxy, "galaxy", CHEAP),
    "test of aws: endpoint_url": Field(trial_of_aws, "moto", CHEAP),
    "test of openstack: auth_url": Field(trial_of_openstack, "web", CHEAP),
    "test of hashicorp_vault: url": Field(trial_of_vault, "vault", CHEAP),
    "test of git: repo": Field(trial_of_git, "git", GIT),
    "test of ssh_key: repo": Field(trial_of_ssh_key, "ssh", GIT),
    "source.repo by https": Field(source_https, "git", GIT),
    "source.repo by ssh": Field(source_ssh, "ssh", GIT),
    "source.repo like scp": Field(source_scp_like, "scp", GIT),
    ".gitmodules": Field(submodule, "git", DEAR | {"rebind": 4}, literals=FEW),
    "inventory.repo": Field(inventory_repo, "git", DEAR, literals=()),
    "inventory.url, gathered": Field(inventory_url_gathered, "web", DEAR, literals=()),
    "aws.endpoint_url of a plugin": Field(aws_plugin, "moto", DEAR, ("inside",), ()),
    "source.galaxy_server": Field(galaxy_server, "galaxy", DEAR, ("inside", "mapped"), ()),
    "download_url": Field(galaxy_download, "galaxy", DEAREST, ("inside",), ()),
    "download_url of a role": Field(role_download, "galaxy", DEAREST, ("inside",), ()),
    "requirements: source": Field(galaxy_source, "galaxy", DEAREST, ("inside",), ()),
    "requirements: collection of git": Field(collection_of_git, "git", DEAREST, ("inside",), ()),
    "requirements: collection by ssh": Field(collection_of_ssh, "ssh", DEAREST, ("inside",), ()),
    "requirements: collection of url": Field(collection_of_url, "web", DEAREST, ("inside",), ()),
    "requirements: role of git": Field(role_of_git, "git", DEAREST, ("inside",), ()),
    "requirements: role of url": Field(role_of_url, "web", DEAREST, ("inside",), ()),
    "requirements: role of a role": Field(role_of_role, "git", DEAREST, ("inside",), ()),
    "source.repo and inventory.url of a whole job": Field(whole_job, "git", DEAREST, literals=()),
}
