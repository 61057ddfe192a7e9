"""Tries every field in a network of its own: `python -m tests.integration.ssrf.driver <directory>` in new namespaces.

Writes what came of it to <directory>/report.json: for each field the connections to its server and to the sink, and how
often each host had which outcome.
"""

import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_api.egress import Deadline, Policy, checked_addresses
from tests.integration.execution.asking import TOKEN
from tests.integration.execution.test_dependencies_git import COLLECTION, ROLE
from tests.integration.ssrf.chains import HERE, REDIRECTED, Redirected, redirecting
from tests.integration.ssrf.fields import FIELDS, HOSTS_FILE, Field
from tests.integration.ssrf.world import PORTS, World, enter, name
from tests.servers.galaxy import archive, pack
from tests.servers.git_servers import git_repository

PLAY = "- hosts: all\n  gather_facts: false\n  tasks: [{ping: }]\n"
CONTROLS = ("127.0.0.1", "127.9.9.9", "::1", "169.254.169.254", "fd00:ec2::254", "64:ff9b::7f00:1", "8.8.8.8")


def fill(world: World) -> None:
    """Something to find in every server."""
    commits = {
        "project": {"hosts.yml": HOSTS_FILE, "site.yml": PLAY},
        "collection": COLLECTION,
        "role": ROLE,
        "with_submodule": {},
    }
    for repository, files in commits.items():
        git_repository(world.repositories / repository).commit(files)
    for collection in ("acme.tools", "acme.free"):
        world.galaxy.add(pack(collection, "1.0.0", {"README.md": "tests"}))
    world.galaxy.roles["acme.greet", "1.0.0"] = role()
    world.moto.run_instances({"Name": "a"})
    world.vault.put("secret", "ssrf", {"password": "tests"})
    os.environ["SSL_CERT_FILE"] = str(world.git.certificate)


def role() -> bytes:
    return archive({f"r-1/{path}": text.encode() for path, text in ROLE.items()})


def files() -> dict[str, bytes]:
    tools = pack("acme.tools", "1.0.0", {"README.md": "tests"})
    return {"/": HOSTS_FILE.encode(), "/tools.tar.gz": tools, "/role.tar.gz": role()}


def hosts(field: Field) -> Iterator[str]:
    """Every host as often as it is to be tried."""
    for host, times in (field.times | dict.fromkeys(field.never, 1)).items():
        for _ in range(times):
            yield name(host)
    yield from field.literals


def tell(world: World, server: str, outcomes: Callable[[], Iterator[tuple[str, str]]]) -> dict[str, Any]:
    """Run the attempts of a field, and count."""
    began, before, found = time.monotonic(), world.reached(server), dict[str, Counter[str]]()
    for host, came in outcomes():
        found.setdefault(host, Counter())[came] += 1
    return {
        "allowed": world.reached(server) - before,
        "sink": world.sink.take(),
        "outcomes": found,
        "seconds": time.monotonic() - began,
    }


def named(world: World, field: Field) -> Iterator[tuple[str, str]]:
    for host in hosts(field):
        yield host, field.attempt(world, host)


def redirected(world: World, field: Redirected) -> Iterator[tuple[str, str]]:
    for chain in field.chains:
        with redirecting(world, field, chain):
            yield f"{chain.status} to {', '.join(chain.hosts)}", field.attempt(world, HERE)


def controls(world: World) -> dict[str, Any]:
    """What the sink sees of clients without a guard: those that call a place, and those that resolve a name again."""
    world.sink.take()
    for address in CONTROLS:
        socket.create_connection((address, PORTS["web"]), 5).close()
    direct = world.sink.take()
    for _ in range(4):
        checked_addresses(name("rebind"), PORTS["web"], Policy(True, True), Deadline(5))
        socket.create_connection((name("rebind"), PORTS["web"]), 5).close()
    return {"direct": direct, "resolved again": world.sink.take()}


def run(directory: Path, wanted: tuple[str, ...]) -> Mapping[str, Any]:
    """The report."""
    with World.made(directory, TOKEN, files()) as world:
        fill(world)
        chosen = {key: field for key, field in FIELDS.items() if not wanted or key in wanted}
        chains = {key: field for key, field in REDIRECTED.items() if not wanted or key in wanted}
        return {
            "controls": controls(world),
            "fields": {key: tell(world, one.server, lambda one=one: named(world, one)) for key, one in chosen.items()},
            "redirected": {
                key: tell(world, one.server, lambda one=one: redirected(world, one)) for key, one in chains.items()
            },
        }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    enter(place)
    (place / "report.json").write_text(json.dumps(run(place, tuple(sys.argv[2:])), indent=1))
