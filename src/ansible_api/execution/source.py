"""Stand-in of the git part, for this branch's tests only: a plain clone with the git program."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_api.credentials.secrets import GitLogin, SshKey
from ansible_api.errors import JobError


@dataclass(frozen=True, slots=True)
class GitLimits:
    timeout: float = 60.0
    memory: int = 1 << 30
    size: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Checkout:
    commit: str
    cache: str


def checkout(
    repo: str,
    ref: str | None,
    login: SshKey | GitLogin | None,
    *,
    cache: Path,
    secrets_dir: Path,
    destination: Path,
    limits: GitLimits,
    keep_going: Callable[[], bool],
) -> Checkout:
    subprocess.run(["git", "clone", "-q", repo, str(destination)], check=True, timeout=limits.timeout)  # noqa: S607
    head = ["git", "-C", str(destination), "rev-parse", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    return Checkout(commit, "miss")


def resolve_inside(root: Path, relative: str) -> Path:
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise JobError("path_outside_repository", f"{relative} leads out of the repository")
    return path
