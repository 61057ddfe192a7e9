"""A worker's directories with checkouts in them, in this process and in others."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from ansible_api.credentials.secrets import GitLogin, SshKey
from ansible_api.egress import Policy
from ansible_api.execution.source import Checkout, GitLimits, checkout
from tests.servers.git_servers import TOKEN, USERNAME, GitRepository

MIB = 1024 * 1024
HERE = Policy(allow_loopback=True)
LIMITS = GitLimits(timeout=60, memory=1024 * MIB, size=64 * MIB, cache_size=1024 * MIB, egress=HERE)
LOGIN = GitLogin(USERNAME, SecretStr(TOKEN))
ONE_CHECKOUT = """
import sys
from pathlib import Path
from pydantic import SecretStr
from ansible_api.credentials.secrets import GitLogin
from ansible_api.egress import Policy
from ansible_api.execution.source import GitLimits, checkout
repo, username, token, cache, secrets_dir, destination = sys.argv[1:]
limits = GitLimits(timeout=60, memory=2**30, size=2**26, cache_size=2**30, egress=Policy(allow_loopback=True))
print(checkout(repo, "main", GitLogin(username, SecretStr(token)), cache=Path(cache), secrets_dir=Path(secrets_dir),
    destination=Path(destination), limits=limits, keep_going=lambda: True).cache)
"""


@dataclass
class Worker:
    """A worker's directories, and checkouts in them."""

    home: Path
    limits: GitLimits = LIMITS
    jobs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    def new_destination(self) -> Path:
        return self.home / f"job{next(self.jobs)}"  # also when threads ask at once

    def checkout(
        self,
        repo: str | GitRepository,
        ref: str | None = None,
        login: SshKey | GitLogin | None = None,
        keep_going: Callable[[], bool] = lambda: True,
        *,
        submodules: bool = False,
    ) -> tuple[Checkout, Path]:
        """The outcome and where the files are."""
        destination = self.new_destination()
        done = checkout(
            str(repo.path) if isinstance(repo, GitRepository) else repo,
            ref,
            login,
            cache=self.cache,
            secrets_dir=self.secrets,
            destination=destination,
            limits=self.limits,
            keep_going=keep_going,
            submodules=submodules,
        )
        return done, destination

    def start(self, repo: str) -> subprocess.Popen[str]:
        """A checkout of main in a process of its own."""
        argv = [sys.executable, "-c", ONE_CHECKOUT, repo, USERNAME, TOKEN]
        argv += [str(self.cache), str(self.secrets), str(self.new_destination())]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes_with(arguments: str) -> list[int]:
    """The processes whose command line has these arguments, each ended by a NUL."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
        except OSError:
            continue
        if arguments in command and is_alive(int(process.name)):
            found.append(int(process.name))
    return found
