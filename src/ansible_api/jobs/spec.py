"""What a request may say: request body, JSON column and worker input are this one model."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from ansible_api.routing import DEFAULT_PRIORITY, HIGHEST_PRIORITY, JOB_QUEUES, Queue, Workload

# Text that reaches a command line or a file name: known characters, and never a leading "-".
GitRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./+@#][A-Za-z0-9_./+@#-]*$", max_length=255)]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$", max_length=128)]
HostPattern = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_.:,&!*~\[\]()|?+=^$\\{} ][A-Za-z0-9_.:,&!*~\[\]()|?+=^$\\{} -]*$", max_length=1024
    ),
]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:\[\]][A-Za-z0-9_.:\[\]-]*$", max_length=253)]
GroupName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=128)]
CollectionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$", max_length=128)]
PluginName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", max_length=128)]
RoleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=128)]
VersionRange = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9*<>=!][A-Za-z0-9.,*<>=!+ -]*$", max_length=128)]
CredentialName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=128)]
Variables = dict[str, JsonValue]

_SCP_LIKE = re.compile(
    r"^(?P<user>[A-Za-z0-9_.][A-Za-z0-9_.-]*)@(?P<host>[A-Za-z0-9_.\[\]:][A-Za-z0-9_.\[\]:-]*?):(?P<path>[^-/:][^:]*|/.*)$"
)
_URL = re.compile(r"^(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>.+)$")


def repo_scheme(repo: str) -> str:
    """`https`, `ssh` (also for scp-like addresses), `file` (also for absolute paths), or the URL's own."""
    if match := _URL.match(repo):
        return match["scheme"]
    return "file" if repo.startswith("/") else "ssh"


def _check_repo(repo: str) -> str:
    if any(ord(character) <= 32 or ord(character) == 127 for character in repo) or repo.startswith("-") or "::" in repo:
        raise ValueError("give a git URL: https://…, ssh://… or user@host:path")
    url = _URL.match(repo)
    if not (url or repo.startswith("/") or _SCP_LIKE.match(repo)):
        raise ValueError("give a git URL: https://…, ssh://… or user@host:path")
    authority = url["rest"].split("/", 1)[0] if url else ""
    user = authority.rpartition("@")[0]
    if authority.startswith("-") or authority.rpartition("@")[2].startswith("-"):
        raise ValueError("a host name cannot begin with '-'")
    if ":" in user or (user and url and url["scheme"] == "https"):
        raise ValueError("leave user and token out of the URL: store them and name them in git_credential")
    return repo


def _check_path(path: str) -> str:
    parts = path.split("/")
    if path.startswith(("/", "-", "~")) or ".." in parts or not path.isprintable() or "\\" in path:
        raise ValueError("give a path relative to the repository's root, without '..' or a leading '-'")
    return path


RepoUrl = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_check_repo)]
RepoPath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_check_path)]


class Model(BaseModel):
    """Strict and frozen: unknown fields and wrong types are refused, never ignored or converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class GitLocation(Model):
    """A place in a git repository; `branch` is a branch, a tag or a full commit."""

    repo: RepoUrl
    branch: GitRef | None = Field(
        None, description="branch, tag or full commit; the repository's default branch when absent"
    )
    git_credential: CredentialName | None = None


class PlaybookSource(GitLocation):
    """One or several playbooks of a git repository, run in the order given."""

    type: Literal["playbook"]
    path: RepoPath | Annotated[list[RepoPath], Field(min_length=1, max_length=20)]

    @property
    def playbooks(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)


class RoleSource(GitLocation):
    """A role in a git repository."""

    type: Literal["role"]
    path: RepoPath
    role_vars: Variables = Field(default_factory=dict)


class CollectionRoleSource(Model):
    """A role of a collection from a Galaxy server."""

    type: Literal["collection_role"]
    collection: CollectionName
    role: RoleName
    version: VersionRange | None = None
    galaxy_server: AnyHttpUrl | None = Field(None, strict=False)
    galaxy_credential: CredentialName | None = None
    role_vars: Variables = Field(default_factory=dict)


Source = Annotated[PlaybookSource | RoleSource | CollectionRoleSource, Field(discriminator="type")]


class InlineInventory(Model):
    """Hosts and groups as they stand in the request."""

    type: Literal["inline"]
    hosts: list[HostName] = Field(default_factory=list, max_length=10_000)
    groups: dict[GroupName, list[HostName]] = Field(default_factory=dict)
    host_vars: dict[HostName, Variables] = Field(default_factory=dict)
    group_vars: dict[GroupName, Variables] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_hosts(self) -> Self:
        hosts = self.all_hosts
        if not hosts:
            raise ValueError("name at least one host, in hosts or in a group")
        if strangers := sorted(set(self.host_vars) - set(hosts)):
            raise ValueError(f"host_vars of hosts that are not in the inventory: {', '.join(strangers[:5])}")
        if strangers := sorted(set(self.group_vars) - set(self.groups) - {"all", "ungrouped"}):
            raise ValueError(f"group_vars of groups that are not in the inventory: {', '.join(strangers[:5])}")
        return self

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """Every host once, in the order of first mention."""
        members = [host for group in self.groups.values() for host in group]
        return tuple(dict.fromkeys([*self.hosts, *members]))


class DynamicInventory(Model):
    """Hosts from an inventory plugin."""

    type: Literal["dynamic"]
    plugin: PluginName
    config: Variables = Field(default_factory=dict)
    cloud_credential: CredentialName | None = None


class GitInventory(GitLocation):
    """An inventory file of a git repository."""

    type: Literal["git"]
    path: RepoPath


class UrlInventory(Model):
    """An inventory from an HTTP server."""

    type: Literal["url"]
    url: AnyHttpUrl = Field(strict=False)
    format: Literal["yaml", "json", "ini"] = "yaml"
    headers: dict[str, str] = Field(default_factory=dict)
    credential: CredentialName | None = None


Inventory = Annotated[InlineInventory | DynamicInventory | GitInventory | UrlInventory, Field(discriminator="type")]


class HashicorpVaultRef(Model):
    """A secret that lies in HashiCorp Vault."""

    type: Literal["hashicorp_vault"]
    vault_path: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    vault_key: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    vault_credential: CredentialName | None = None


class CloudRef(Model):
    """A cloud account for dynamic inventories."""

    type: Literal["aws", "azure", "gcp", "openstack"]
    credential: CredentialName


class Credentials(Model):
    """What opens the managed hosts: names of stored credentials, or places in HashiCorp Vault."""

    ssh: CredentialName | HashicorpVaultRef | None = None
    become_password: CredentialName | HashicorpVaultRef | None = None
    vault_password: CredentialName | HashicorpVaultRef | None = None
    cloud: CloudRef | None = None


class Options(Model):
    """How to run."""

    timeout: int | None = Field(None, ge=1, le=7 * 86400, description="seconds from the start of the play")
    callback_url: AnyHttpUrl | None = Field(None, strict=False)
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    skip_tags: list[Tag] = Field(default_factory=list, max_length=100)
    limit: HostPattern | None = None
    verbosity: int = Field(0, ge=0, le=5)
    check_mode: bool = False
    diff_mode: bool = False
    forks: int = Field(5, ge=1, le=200)
    queue: Queue | None = Field(None, strict=False)
    priority: int = Field(DEFAULT_PRIORITY, ge=0, le=HIGHEST_PRIORITY, description="9 is most urgent")

    @field_validator("queue")
    @classmethod
    def _runs_jobs(cls, queue: Queue | None) -> Queue | None:
        if queue is not None and queue not in JOB_QUEUES:
            raise ValueError(f"use one of {', '.join(JOB_QUEUES)}")
        return queue


class JobSpec(Model):
    """What to run, where, with which credentials and how."""

    source: Source
    inventory: Inventory
    credentials: Credentials = Field(default_factory=Credentials)
    extra_vars: Variables = Field(default_factory=dict)
    options: Options = Field(default_factory=Options)

    def workload(self, default_timeout: int) -> Workload:
        """What routing needs to know."""
        git = [part for part in (self.source, self.inventory) if isinstance(part, GitLocation)]
        return Workload(
            timeout=self.options.timeout or default_timeout,
            requested_queue=self.options.queue,
            priority=self.options.priority,
            inventory_types=frozenset({self.inventory.type}),
            repositories=len({part.repo for part in git}),
            installs=not isinstance(self.source, PlaybookSource),
        )

    def git_locations(self) -> Iterator[tuple[str, GitLocation]]:
        """Every git location with the JSON Pointer of its place in the request."""
        for name in ("source", "inventory"):
            part = getattr(self, name)
            if isinstance(part, GitLocation):
                yield f"/{name}", part

    def extra_vars_size(self) -> int:
        """Bytes of extra_vars as JSON in UTF-8."""
        return len(json.dumps(self.extra_vars, ensure_ascii=False, separators=(",", ":")).encode())

    def as_json(self) -> dict[str, Any]:
        """The spec as a JSON document, without fields at their defaults."""
        return self.model_dump(mode="json", exclude_defaults=False, exclude_none=True)
