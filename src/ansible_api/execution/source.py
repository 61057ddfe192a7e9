"""The files of a git commit for one job: resolved, fetched only when needed, and copied out of the worker's cache."""

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from ansible_api.credentials.secrets import GitLogin, SshKey
from ansible_api.egress import Policy, Resolver
from ansible_api.egress.connect import system_resolver
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.git_cache import Count, Entry, Note, Submodule, discard, evict, pause, read_note
from ansible_api.execution.git_egress import allowed_addresses
from ansible_api.execution.git_login import Login, check_login, digest, identity, ssh_options
from ansible_api.execution.git_process import GitProcess, Patience, error_of
from ansible_api.execution.git_request import Answer, Request
from ansible_api.execution.git_sharing import shared
from ansible_api.execution.submodules import Project, Submodules
from ansible_api.execution.tree_copy import copy_tree
from ansible_api.settings import MIB, HostKeyPolicy

FULL_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class GitLimits:
    """What one checkout may take (seconds, bytes), which servers it may reach, and what an unknown ssh key means."""

    timeout: float = 300.0
    memory: int = 1024 * MIB
    size: int = 2048 * MIB
    cache_size: int = 10 * 1024 * MIB
    host_keys: HostKeyPolicy = HostKeyPolicy.STRICT
    connect_timeout: float = 10.0
    egress: Policy = Policy()  # noqa: RUF009 - frozen
    resolver: Resolver = system_resolver
    schemes: frozenset[str] = frozenset({"https", "ssh"})  # of submodules; a repository's own is checked before


@dataclass(frozen=True, slots=True)
class Checkout:
    """What is checked out; `hit` means that no object had to come from the repository."""

    commit: str
    cache: Literal["hit", "miss"]


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
    submodules: bool = False,
) -> Checkout:
    """Put the files of `ref` (branch, tag, full commit; None is the default branch) into `destination`, made here.

    With `submodules` theirs, too, at the commits that the repository names; without, their directories are empty.
    Raises JobError source_ref_not_found, source_refused, source_denied, source_host_key,
    source_too_large, source_invalid or canceled, and TransientJobError source_unreachable or source_not_stored. What
    `destination` holds after an error is undefined.
    """
    here = _Worker(cache, secrets_dir, limits, Patience(limits.timeout, keep_going))
    found, note = here.checkout(repo, ref, login, destination)
    hits = [found.cache]

    def one(repo: str, commit: str, login: Login, place: Path) -> Note:
        submodule, note = here.checkout(repo, commit, login, place)
        hits.append(submodule.cache)
        return note

    if submodules:
        Submodules(one, limits.schemes, limits.size).below(Project(repo, login, note, destination))
    return Checkout(found.commit, "miss" if "miss" in hits else "hit")


@dataclass(frozen=True, slots=True)
class _Worker:
    """What all repositories of one job have in common."""

    cache: Path
    secrets_dir: Path
    limits: GitLimits
    patience: Patience

    def checkout(self, repo: str, ref: str | None, login: Login, destination: Path) -> tuple[Checkout, Note]:
        check_login(repo, login)
        who, limits = identity(login), self.limits
        known_hosts = self.cache / "known_hosts" / who
        self.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            ssh_options(login, known_hosts, self.secrets_dir, limits.host_keys, limits.connect_timeout) as options,
            closing(GitProcess(self.secrets_dir, self.patience)) as process,
        ):
            git = _Git(repo, ref, login, options, limits, process)
            return _Job(Entry(self.cache, digest(repo, who)), git, destination, self.patience).checkout()


def ls_remote(
    repo: str,
    login: SshKey | GitLogin | None,
    *,
    cache: Path,
    secrets_dir: Path,
    limits: GitLimits,
    keep_going: Callable[[], bool],
) -> str:
    """The commit of the default branch, for which only the refs are read; the errors are those of `checkout`."""
    check_login(repo, login)
    patience = Patience(limits.timeout, keep_going)
    known_hosts = cache / "known_hosts" / identity(login)
    with (
        ssh_options(login, known_hosts, secrets_dir, limits.host_keys, limits.connect_timeout) as options,
        closing(GitProcess(secrets_dir, patience)) as process,
    ):
        return _accepted(_Git(repo, None, login, options, limits, process).resolve()).commit


@dataclass(frozen=True)
class _Git:
    """Asks the git subprocess about one ref of one repository."""

    repo: str
    ref: str | None
    login: SshKey | GitLogin | None
    ssh_options: tuple[str, ...]
    limits: GitLimits
    process: GitProcess

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """Found once, so that what is fetched comes from where the ref was looked up."""
        return allowed_addresses(self.repo, self.limits.egress, self.limits.resolver, self.limits.connect_timeout)

    def resolve(self) -> Answer:
        """What the server says, trouble included, in a form that other jobs can be told as well."""
        try:
            request = self._request("resolve")
        except JobError as error:
            transient = isinstance(error, TransientJobError)
            return Answer(error=error.job_code, detail=error.detail, transient=transient)
        return self.process.ask(request)

    def fetch(self, wanted: Answer, mirror: Path, tree: Path) -> Answer:
        places = {"mirror": str(mirror), "tree": str(tree)}
        return self.process.ask(self._request("fetch", want=wanted.want, commit=wanted.commit, **places))

    def _request(
        self, command: Literal["resolve", "fetch"], want: str = "", commit: str = "", mirror: str = "", tree: str = ""
    ) -> Request:
        login, limits = self.login, self.limits
        return Request(
            command,
            self.repo,
            self.ref,
            timeout=limits.timeout,
            connect_timeout=min(limits.connect_timeout, limits.timeout),
            memory=limits.memory,
            size=limits.size,
            username=login.username if login else None,
            token=login.token.get_secret_value() if isinstance(login, GitLogin) else None,
            addresses=self.addresses,
            ssh_options=self.ssh_options,
            want=want,
            commit=commit,
            mirror=mirror,
            tree=tree,
        )


@dataclass(frozen=True, slots=True)
class _Job:
    """One checkout against the cache entry of its repository and credential."""

    entry: Entry
    git: _Git
    destination: Path
    patience: Patience

    def checkout(self) -> tuple[Checkout, Note]:
        wanted = self._resolve()
        if note := self._copy(wanted.commit):
            return Checkout(wanted.commit, "hit"), note
        fetched = False
        with self.entry.writing(self._wait) as scratch:
            note = self._copy(wanted.commit)  # another job may have fetched it while this one waited
            if note is None:
                fetched = self._fetch(wanted, scratch)
                note = self._copy(wanted.commit)
        if note is None:
            raise JobError("source_invalid", "The fetched files do not hold what was fetched: check the disk.")
        evict(self.entry.root, self.git.limits.cache_size)
        return Checkout(wanted.commit, "miss" if fetched else "hit"), note

    def _resolve(self) -> Answer:
        ref = self.git.ref or ""
        if FULL_COMMIT.fullmatch(ref):
            return Answer(want=ref, commit=ref)  # names itself: nothing to ask
        question = digest(self.entry.key, ref)
        text = shared(self.entry.root / "asked", question, lambda: self.git.resolve().to_json().decode(), self._wait)
        return _accepted(Answer.from_json(text.encode()))

    def _wait(self) -> None:
        self.patience.check()
        pause()

    def _copy(self, commit: str) -> Note | None:
        """What the destination holds now; None when the cache did not have the whole tree."""
        with self.entry.reading(commit) as tree:
            if tree is None:
                return None
            note = read_note(tree)
            if copy_tree(tree / "files", self.destination, self.patience.check) == note.count:
                return note
        # A crash of the machine can leave files empty that were written before it.
        discard(self.entry.root, tree)
        discard(self.entry.root, self.destination)
        return None

    def _fetch(self, wanted: Answer, scratch: Path) -> bool:
        """Bring the commit's tree into the cache; whether objects came from the repository."""
        self.entry.drop_worn_mirror()
        mirror = self.entry.mirror
        fresh = not mirror.is_dir()
        made = scratch / "mirror" if fresh else mirror
        answer = self.git.fetch(wanted, made, scratch / "files")
        if answer.damaged and not fresh:
            discard(self.entry.root, mirror)
            discard(self.entry.root, scratch / "files")
            return self._fetch(wanted, scratch)
        _accepted(answer)
        self.entry.keep_mirror(made)
        submodules = tuple(Submodule(*each) for each in answer.submodules)
        self.entry.keep_tree(scratch, wanted.commit, Note(Count(answer.files, answer.size), submodules))
        return answer.fetched


def _accepted(answer: Answer) -> Answer:
    if answer.error:
        raise error_of(answer)
    return answer


def resolve_inside(root: Path, relative: str) -> Path:
    """The real path of a file of the checkout; JobError path_outside_repository when it leads out of it.

    A repository may hold symlinks that point anywhere, so whoever opens a file by a name from a request comes here
    first. The file need not exist.
    """
    inside = root.resolve()
    try:
        path = (inside / relative).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of symlinks, a NUL
        path = None
    if path is None or not path.is_relative_to(inside):
        raise JobError("path_outside_repository", f"{relative} leads out of the repository: name a file inside it.")
    return path
