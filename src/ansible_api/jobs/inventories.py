"""Where to run: hosts in the request, from a plugin, from git or from an HTTP server."""

from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ansible_api.credentials.headers import HEADER_VARIABLE, HeaderName, HeaderValue
from ansible_api.credentials.refs import NamedRef
from ansible_api.credentials.text import WebUrl
from ansible_api.jobs.sources import GitLocation
from ansible_api.jobs.text import GroupName, HostName, Model, PluginName, RepoPath, Variables

# They belong to the connection (RFC 9110, 7.6.1) or follow from the URL.
OWN_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te", "trailer", "upgrade"}
    | {"expect", "keep-alive", "proxy-authorization", "proxy-connection"}
)
CacheTtl = Annotated[
    int | None,
    Field(
        ge=1, le=86_400, description="seconds for which a worker may use an earlier answer; always asked when absent"
    ),
]


class InlineGroup(Model):
    """A group with its hosts, the groups below it and its variables."""

    hosts: list[HostName] = Field(default_factory=list, max_length=10_000)
    children: list[GroupName] = Field(default_factory=list, max_length=1000)
    vars: Variables = Field(default_factory=dict)


class InlineInventory(Model):
    """Hosts and groups as they stand in the request."""

    type: Literal["inline"]
    hosts: list[HostName] = Field(default_factory=list, max_length=10_000)
    groups: dict[GroupName, Annotated[list[HostName], Field(max_length=10_000)] | InlineGroup] = Field(
        default_factory=dict, description="a list of hosts, or an object with hosts, children and vars"
    )
    host_vars: dict[HostName, Variables] = Field(default_factory=dict)
    group_vars: dict[GroupName, Variables] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        hosts = self.all_hosts
        if not hosts:
            raise ValueError("name at least one host, in hosts or in a group")
        if strangers := sorted(set(self.host_vars) - set(hosts)):
            raise ValueError(f"host_vars of hosts that are not in the inventory: {', '.join(strangers[:5])}")
        if strangers := sorted(set(self.group_vars) - set(self.groups) - {"all", "ungrouped"}):
            raise ValueError(f"group_vars of groups that are not in the inventory: {', '.join(strangers[:5])}")
        if strangers := sorted({name for group in self.tree.values() for name in group.children} - set(self.groups)):
            raise ValueError(f"children that are not in groups: {', '.join(strangers[:5])}")
        if parents := sorted(name for name, group in self.tree.items() if "all" in group.children):
            raise ValueError(f"the group {parents[0]} cannot hold the group all, which holds it")
        if looped := self._loop():
            raise ValueError(f"the group {looped} is its own child, directly or through others")
        return self

    @property
    def tree(self) -> dict[str, InlineGroup]:
        """Every group in its long form."""
        return {
            name: group if isinstance(group, InlineGroup) else InlineGroup(hosts=group)
            for name, group in self.groups.items()
        }

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """Every host once, in the order of first mention."""
        members = [host for group in self.tree.values() for host in group.hosts]
        return tuple(dict.fromkeys([*self.hosts, *members]))

    def _loop(self) -> str | None:
        """A group that contains itself."""
        try:
            TopologicalSorter({name: group.children for name, group in self.tree.items()}).prepare()
        except CycleError as error:
            return str(error.args[1][0])
        return None


class DynamicInventory(Model):
    """Hosts from an inventory plugin; `config` is passed to it as it stands."""

    type: Literal["dynamic"]
    plugin: PluginName
    config: Variables = Field(default_factory=dict)
    cloud_credential: NamedRef | None = None
    cache_ttl: CacheTtl = None

    @model_validator(mode="after")
    def _is_one_plugin(self) -> Self:
        if self.config.get("plugin", self.plugin) != self.plugin:
            raise ValueError("config.plugin is not the plugin: leave it out")
        return self


class GitInventory(GitLocation):
    """An inventory of a git repository: a file, or a directory of files."""

    type: Literal["git"]
    path: RepoPath
    cache_ttl: CacheTtl = None


class UrlInventory(Model):
    """An inventory from an HTTP server."""

    type: Literal["url"]
    url: WebUrl
    format: Literal["yaml", "json", "ini"] = "yaml"
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, max_length=50, description="${NAME} stands for a variable of the credential"
    )
    credential: NamedRef | None = None
    cache_ttl: CacheTtl = None

    @model_validator(mode="after")
    def _has_sound_headers(self) -> Self:
        if taken := sorted(name for name in self.headers if name.lower() in OWN_HEADERS):
            raise ValueError(f"the service writes these headers itself: {', '.join(taken)}")
        if self.credential is None and any(HEADER_VARIABLE.search(value) for value in self.headers.values()):
            raise ValueError("headers name a variable: name the credential that has it")
        return self


Inventory = Annotated[InlineInventory | DynamicInventory | GitInventory | UrlInventory, Field(discriminator="type")]
