"""The submodules of a job's repository, and theirs: each at its pinned commit, by the rules of a repository."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ansible_api import git_address
from ansible_api.errors import JobError
from ansible_api.execution.git_cache import Note, Submodule
from ansible_api.execution.git_login import Login
from ansible_api.execution.git_request import MOST_SUBMODULES, too_large
from ansible_api.jobs.text import RepoUrl, repo_scheme

DEEPEST = 5
_REPO_URL: TypeAdapter[str] = TypeAdapter(RepoUrl)


@dataclass(frozen=True, slots=True)
class Project:
    """A repository that is checked out: where it came from and with what, what it holds, where it is."""

    repo: str
    login: Login
    note: Note
    root: Path
    name: str = ""  # of the submodule, seen from the job's repository, with a slash
    depth: int = 0


@dataclass(slots=True)
class Submodules:
    """Checks out the submodules of one job; `checkout` does one repository at one commit into a new directory."""

    checkout: Callable[[str, str, Login, Path], Note]
    schemes: frozenset[str]
    limit: int
    count: int = 0
    size: int = 0

    def below(self, project: Project) -> None:
        """Check out all submodules of the project; JobError says which one could not be had."""
        self.size += project.note.count.size
        if self.size > self.limit:
            refused = too_large(self.limit)
            raise JobError(refused.code, refused.detail)
        for submodule in project.note.submodules:
            name = project.name + submodule.path
            try:
                inner = self._one(project, submodule, name)
            except JobError as error:
                raise type(error)(error.job_code, f"Submodule {_printable(name)}: {error.detail}") from None
            self.below(inner)

    def _one(self, project: Project, submodule: Submodule, name: str) -> Project:
        self.count += 1
        if self.count > MOST_SUBMODULES:
            raise JobError("source_invalid", f"There are more than {MOST_SUBMODULES} submodules: use fewer.")
        if project.depth >= DEEPEST:
            raise JobError("source_invalid", f"Submodules are nested more than {DEEPEST} deep: nest them less.")
        repo = self._address(project.repo, submodule.url)
        # What a stranger's repository points at is not fetched with the job's credential.
        near = git_address.parse(repo).server == git_address.parse(project.repo).server
        login = project.login if near else None
        place = _free_place(project.root, submodule.path)
        note = self.checkout(repo, submodule.commit, login, place)
        return Project(repo, login, note, place, name + "/", project.depth + 1)

    def _address(self, base: str, url: str) -> str:
        """Where the submodule is; a local path only when the repository around it is one, too."""
        if not url:
            raise JobError("source_invalid", "It has no usable url in .gitmodules: add one, or remove the submodule.")
        try:
            if git_address.is_relative(url):
                url = git_address.resolve_relative(base, url)
            repo = _REPO_URL.validate_python(url)
            git_address.parse(repo)
        except (ValidationError, ValueError):
            detail = "Its url in .gitmodules is not taken: use https://…, ssh://…, user@host:path or ../relative."
            raise JobError("source_invalid", detail) from None
        scheme = repo_scheme(repo)
        if scheme not in self.schemes and not scheme == repo_scheme(base) == "file":
            detail = f"Its url in .gitmodules begins with {scheme}, which is not allowed here: use {self._allowed()}."
            raise JobError("source_denied", detail)
        return repo

    def _allowed(self) -> str:
        return " or ".join(sorted(self.schemes))


def _free_place(root: Path, path: str) -> Path:
    """The submodule's directory, which the tree left empty, removed to be made anew."""
    place = root / path
    try:
        if place.parent.resolve() != (root.resolve() / path).parent:
            raise JobError("source_invalid", "Its place leads out of the repository.")
        place.rmdir()
    except OSError:
        raise JobError("source_invalid", "Its place in the repository is taken.") from None
    return place


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)[:200]
