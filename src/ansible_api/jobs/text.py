"""Checked text of requests, and the model that all their parts are made of."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, StringConstraints

# Text that reaches a command line or a file name: known characters, and never a leading "-".
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


def _check_ref(ref: str) -> str:
    """As `git check-ref-format` has it."""
    parts = ref.split("/")
    if ".." in ref or "@{" in ref or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts):
        raise ValueError("not a name that git allows for a branch or tag")
    return ref


GitRef = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.+@#][A-Za-z0-9_./+@#-]*$", max_length=255),
    AfterValidator(_check_ref),
]
RepoUrl = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_check_repo)]
RepoPath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_check_path)]


class Model(BaseModel):
    """Strict and frozen: unknown fields and wrong types are refused, never ignored or converted.

    Built when it is first used, as a part of what contains it: most programs use few of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)
