"""Where to run: hosts in the request, from a plugin, from git or from an HTTP server."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ansible_api.credentials.headers import HeaderName, HeaderValue
from ansible_api.credentials.refs import NamedRef
from ansible_api.credentials.text import WebUrl
from ansible_api.jobs.sources import GitLocation
from ansible_api.jobs.text import GroupName, HostName, Model, PluginName, RepoPath, Variables

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
        """A group that contains itself; found by taking away, again and again, groups without children left."""
        left = {name: set(group.children) for name, group in self.tree.items()}
        while ends := [name for name, children in left.items() if not children & set(left)]:
            for name in ends:
                del left[name]
        return next(iter(left), None)


class DynamicInventory(Model):
    """Hosts from an inventory plugin; `config` is passed to it as it stands."""

    type: Literal["dynamic"]
    plugin: PluginName
    config: Variables = Field(default_factory=dict)
    cloud_credential: NamedRef | None = None
    cache_ttl: CacheTtl = None


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


Inventory = Annotated[InlineInventory | DynamicInventory | GitInventory | UrlInventory, Field(discriminator="type")]
