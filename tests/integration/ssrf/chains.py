"""Allowed servers that send their callers on to places that may not be reached, at once or after a while."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.integration.ssrf import fields
from tests.integration.ssrf.fields import Attempt
from tests.integration.ssrf.world import PORTS, World, name
from tests.servers.webhook_sink import Answer as WebAnswer

STATUSES = (301, 302, 303, 307, 308)
TARGETS = (
    name("inside"),
    name("both"),
    "127.0.0.1",
    "169.254.169.254",
    "2130706433",
    "0x7f.1",
    "[::ffff:127.0.0.1]",
    "[::1]",
    "localhost",
    f"{name('outside')}@127.0.0.1",
)
HERE = name("outside")


@dataclass(frozen=True)
class Chain:
    """What answers its first requests with redirects: a status, and the hosts to go to one after the other."""

    status: int
    hosts: tuple[str, ...]
    loops: bool = False

    def locations(self, server: str) -> Iterator[str]:
        scheme, path = ("https", "project/.git/info/refs?service=git-upload-pack") if server == "git" else ("http", "")
        hosts = itertools.cycle(self.hosts) if self.loops else self.hosts
        return (f"{scheme}://{host}:{PORTS[server]}/{path}" for host in hosts)


LOOP = Chain(302, (HERE,), loops=True)
SHORT = (Chain(302, (name("inside"),)), Chain(307, (HERE, "127.0.0.1")), LOOP)
LONG = (
    *(Chain(status, (target,)) for status in STATUSES for target in TARGETS),
    *(Chain(302, (HERE, HERE, target)) for target in TARGETS),
    *(Chain(307, (HERE, HERE, HERE, target)) for target in TARGETS),
    LOOP,
)


@dataclass(frozen=True)
class Redirected:
    """A field whose server redirects requests for paths that begin so."""

    attempt: Attempt
    server: str
    chains: tuple[Chain, ...]
    path: str = "/"


@contextmanager
def redirecting(world: World, field: Redirected, chain: Chain) -> Iterator[None]:
    """Have a field's server do so."""
    waiting = chain.locations(field.server)

    def answer(path: str) -> tuple[int, dict[str, str]] | None:
        location = next(waiting, None) if path.startswith(field.path) else None
        return (chain.status, {"Location": location}) if location else None

    def told(path: str) -> WebAnswer | None:
        return WebAnswer(*found) if (found := answer(path)) else None

    match field.server:
        case "web":
            world.web.told = told
        case "galaxy":
            world.galaxy.answer = answer
        case "git":
            world.git.answer = lambda request: answer(request.path)
    try:
        yield
    finally:
        world.web.told = world.galaxy.answer = world.git.answer = lambda _asked: None


REDIRECTED: Mapping[str, Redirected] = {
    "options.callback_url": Redirected(fields.callback, "web", LONG),
    "inventory.url": Redirected(fields.inventory_url, "web", LONG),
    "hashicorp_vault.url": Redirected(fields.vault_of_web, "web", LONG),
    "test of http: url": Redirected(fields.trial_of_http, "web", LONG),
    "test of openstack: auth_url": Redirected(fields.trial_of_openstack, "web", LONG),
    "test of galaxy_token: galaxy_server": Redirected(fields.trial_of_galaxy, "galaxy", LONG),
    "source.repo": Redirected(fields.source_https, "git", SHORT),
    "source.galaxy_server": Redirected(fields.galaxy_server, "galaxy", SHORT[:2]),
    "download_url": Redirected(fields.galaxy_download, "galaxy", SHORT[:1], "/download/"),
    "download_url of a role": Redirected(fields.role_download, "galaxy", SHORT[:1], "/download/"),
    "requirements: collection of git": Redirected(fields.collection_of_git, "git", SHORT),
    "requirements: collection of url": Redirected(fields.collection_of_url, "web", SHORT[:1]),
    "requirements: role of url": Redirected(fields.role_of_url, "web", SHORT[:2]),
}
