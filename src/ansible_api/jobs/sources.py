"""What to run: playbooks or a role from git, or a role from a Galaxy collection."""

from typing import Annotated, Literal

from pydantic import Field

from ansible_api.credentials.refs import NamedRef
from ansible_api.credentials.text import WebUrl
from ansible_api.jobs.text import CollectionName, GitRef, Model, RepoPath, RepoUrl, RoleName, Variables, VersionRange


class GitLocation(Model):
    """A place in a git repository; `branch` is a branch, a tag or a full commit."""

    repo: RepoUrl
    branch: GitRef | None = Field(
        None, description="branch, tag or full commit; the repository's default branch when absent"
    )
    git_credential: NamedRef | None = None
    submodules: bool = Field(False, description="check out the repository's submodules, too")


class CollectionRequirement(Model):
    """A collection to install before the play."""

    name: CollectionName
    version: VersionRange | None = Field(None, description="a version or a range, as Galaxy takes them: >=6.0.0,<7")


class GalaxyLocation(Model):
    """Where collections and roles come from, and which to install beyond what the project's requirements.yml say."""

    galaxy_server: WebUrl | None = Field(None, description="the installation's default when absent")
    galaxy_credential: NamedRef | None = None
    collections: list[CollectionRequirement] = Field(default_factory=list, max_length=50)


class PlaybookSource(GitLocation, GalaxyLocation):
    """One or several playbooks of a git repository, run in the order given."""

    type: Literal["playbook"]
    path: RepoPath | Annotated[list[RepoPath], Field(min_length=1, max_length=20)]

    @property
    def playbooks(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)


class RoleSource(GitLocation, GalaxyLocation):
    """A role in a git repository, run on all hosts of the inventory."""

    type: Literal["role"]
    path: RepoPath
    role_vars: Variables = Field(default_factory=dict)


class CollectionRoleSource(GalaxyLocation):
    """A role of a collection from a Galaxy server, run on all hosts of the inventory."""

    type: Literal["collection_role"]
    collection: CollectionName
    role: RoleName
    version: VersionRange | None = None
    role_vars: Variables = Field(default_factory=dict)


Source = Annotated[PlaybookSource | RoleSource | CollectionRoleSource, Field(discriminator="type")]
