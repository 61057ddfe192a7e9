"""Sources × inventories × credentials: every pair of forms meets in a real play on real SSH hosts."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests.acceptance.service import Service, installed
from tests.acceptance.world import World, world
from tests.servers.mariadb import MariaDBServer
from tests.servers.redis import RedisServer
from tests.servers.ssh_hosts import SshHosts

pytestmark = pytest.mark.timeout(600)  # the first test waits for all jobs
GIT = {"git_credential": "github-deploy-key"}
HOSTS = {"type": "inline", "hosts": ["10.0.1.10", "10.0.1.11"]}
SOURCES: dict[str, dict[str, Any]] = {
    "playbook": {
        "type": "playbook",
        "repo": "git@git.example.com:org/ansible-playbooks.git",
        "path": "site.yml",
        **GIT,
    },
    "role": {
        "type": "role",
        "repo": "git@git.example.com:org/ansible-roles.git",
        "branch": "v2.0.0",
        "path": "roles/nginx",
        "role_vars": {"nginx_port": 8080},
        **GIT,
    },
    "collection_role": {
        "type": "collection_role",
        "collection": "community.general",
        "role": "docker_swarm",
        "version": ">=6.0.0",
        "galaxy_server": "https://galaxy.example.com",
        "role_vars": {"swarm_manager": True},
    },
    "private collection_role": {
        "type": "collection_role",
        "collection": "mycompany.internal",
        "role": "app_deploy",
        "version": "1.2.0",
        "galaxy_server": "https://hub.example.com/api/galaxy/",
        "galaxy_credential": "automation-hub-token",
    },
}
INVENTORIES: dict[str, Any] = {
    "inline": HOSTS,
    "dynamic": {
        "type": "dynamic",
        "plugin": "amazon.aws.aws_ec2",
        "config": {"regions": ["us-west-2"], "compose": {"ansible_host": "tags.Address"}},
        "cloud_credential": "aws-prod",
    },
    "git": {
        "type": "git",
        "repo": "git@git.example.com:org/inventory.git",
        "branch": "main",
        "path": "production/hosts.yml",
        **GIT,
    },
    "url": {
        "type": "url",
        "url": "https://cmdb.example.com/api/ansible/inventory",
        "headers": {"Authorization": "Bearer ${CMDB_TOKEN}"},
        "credential": "cmdb-api-token",
    },
    "several": [HOSTS, {"type": "inline", "groups": {"canary": ["10.0.1.10"]}}],
}
IN_VAULT = {"type": "hashicorp_vault", "vault_path": "secret/sudo/prod"}
CREDENTIALS: dict[str, dict[str, Any]] = {
    "stored": {"ssh": "prod-ssh-key", "become_password": "prod-become"},
    "vault": {
        "ssh": {"type": "hashicorp_vault", "vault_path": "secret/ansible/prod-ssh", "vault_key": "private_key"},
        "become_password": IN_VAULT,
    },
    "cloud": {
        "ssh": "prod-ssh-key",
        "become_password": "prod-become",
        "cloud": {"type": "aws", "credential": "aws-prod"},
    },
    "mixed": {"ssh": "prod-ssh-key", "become_password": IN_VAULT},
    "password": {"ssh": "prod-ssh-password", "become_password": "prod-become"},
    "inline": {"ssh": "prod-ssh-key", "become_password": {"type": "inline"}},
}
# Inventory i and credentials j meet once, with source i + j: so every source meets every one of either, too.
COMBINATIONS = [
    (list(SOURCES)[(first + second) % len(SOURCES)], inventory, credentials)
    for (first, inventory), (second, credentials) in product(enumerate(INVENTORIES), enumerate(CREDENTIALS))
]


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory,
    mariadb_server: MariaDBServer,
    redis_server: RedisServer,
    ssh_hosts: SshHosts,
) -> Iterator[dict[tuple[str, str, str], dict[str, Any]]]:
    """Every combination, submitted at once and played to its end."""
    folder = tmp_path_factory.mktemp("matrix")
    mariadb_server.process.revive()
    redis_server.process.revive()
    redis_server.flush()
    (folder / "world").mkdir()
    with (
        installed(folder, mariadb_server.new_database(), redis_server.url) as service,
        world(folder / "world", ssh_hosts) as everything,
    ):
        service.start_api()
        service.start_worker("default", "git-heavy", "dynamic-inventory", "delivery", concurrency=4)
        everything.store_credentials(service)
        ids = {names: service.submit(request(everything, *names)) for names in COMBINATIONS}
        yield {names: _ended(service, job_id) for names, job_id in ids.items()}


def request(everything: World, source: str, inventory: str, credentials: str) -> dict[str, Any]:
    named = dict(CREDENTIALS[credentials])
    if credentials == "inline":
        value = {"kind": "become_password", "password": everything.hosts.sudo_password}
        named["become_password"] = {"type": "inline", "value": value}
    return everything.spec(
        source=SOURCES[source], inventory=INVENTORIES[inventory], credentials=named, options={"become": True}
    )


def _ended(service: Service, job_id: str) -> dict[str, Any]:
    job = service.wait_for_closed(job_id, timeout=300)
    return job | {"log": service.log_of(job_id)}


def test_every_pair_of_forms_meets() -> None:
    for one, other in ((0, 1), (0, 2), (1, 2)):
        lists = [list(forms) for forms in (SOURCES, INVENTORIES, CREDENTIALS)]
        assert {(names[one], names[other]) for names in COMBINATIONS} == set(product(lists[one], lists[other]))


@pytest.mark.parametrize("names", COMBINATIONS, ids=" × ".join)
def test_it_plays_on_both_hosts(jobs: dict[tuple[str, str, str], dict[str, Any]], names: tuple[str, str, str]) -> None:
    job = jobs[names]
    assert job["status"] == "successful", f"{job['error']}\n{job['log']}"
    assert (job["inventory"]["matched_count"], job["progress"]["hosts_ok"]) == (2, 2)
