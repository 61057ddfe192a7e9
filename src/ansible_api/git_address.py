"""Addresses of git repositories: which server they name, and what a submodule's relative address means.

Light on imports: the git subprocess starts with it.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"https": 443, "http": 80, "ssh": 22}
_SCP_LIKE = re.compile(r"(?:(?P<user>[^@/]+)@)?(?P<host>\[[^\]/]+\]|[^@:/\[\]]+):(?P<path>.*)", re.DOTALL)
_RELATIVE = ("./", "../")


@dataclass(frozen=True, slots=True)
class GitAddress:
    """A repository's address in its parts: `host` in lower case and without brackets, empty for a local path."""

    scheme: str
    host: str
    port: int
    user: str | None
    path: str

    @property
    def server(self) -> tuple[str, str, int]:
        """What two addresses have in common when a credential of one may be sent to the other."""
        return self.scheme, self.host, self.port


def parse(repo: str) -> GitAddress:
    """The parts of a URL, an absolute path or user@host:path; ValueError when it is none of them."""
    if "://" in repo:
        parts = urlsplit(repo)
        port = parts.port or PORTS.get(parts.scheme, 0)
        return GitAddress(parts.scheme, parts.hostname or "", port, parts.username, parts.path)
    if repo.startswith("/"):
        return GitAddress("file", "", 0, None, repo)
    if found := _SCP_LIKE.fullmatch(repo):
        return GitAddress("ssh", found["host"].strip("[]").lower(), PORTS["ssh"], found["user"], found["path"])
    raise ValueError("not the address of a git repository")


def is_relative(repo: str) -> bool:
    """Whether git would resolve it against the address of the repository that it stands in."""
    return repo.startswith(_RELATIVE)


def resolve_relative(base: str, relative: str) -> str:
    """`relative` (./x or ../x) as seen from the repository at `base`; ValueError when it leads above the server.

    Each ../ takes one name off the base's path, and nothing but the path ever changes.
    """
    head, path = _split(base.rstrip("/"))
    rooted = "/" if path.startswith("/") else ""
    parts = path.strip("/").split("/")
    while is_relative(relative):
        step, _, relative = relative.partition("/")
        if step == "..":
            if not parts:
                raise ValueError("leads above the server")
            parts.pop()
    if ".." in relative.split("/"):
        raise ValueError("leads up again after it led down")
    return head + rooted + "/".join([*parts, relative])


def _split(repo: str) -> tuple[str, str]:
    """What stands before the path, and the path."""
    if "://" in repo:
        scheme, _, rest = repo.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority}", slash + path
    if repo.startswith("/"):
        return "", repo
    if (found := _SCP_LIKE.fullmatch(repo)) is None:
        raise ValueError("not the address of a git repository")
    return repo[: found.start("path")], found["path"]
