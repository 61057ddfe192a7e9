"""What collections and roles a job asks for: the project's requirement files and the request, merged and checked.

Ansible reads these files with few checks: names become paths, addresses may be local. What is not plainly a name on a
Galaxy server, a git repository or a web address is refused here.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import yaml
from pydantic import TypeAdapter, ValidationError

from ansible_api.errors import JobError
from ansible_api.execution.source import FULL_COMMIT, resolve_inside
from ansible_api.jobs.sources import CollectionRoleSource, Source
from ansible_api.jobs.text import RepoUrl, repo_scheme

SIZE_LIMIT = 256 * 1024
MOST = 200  # collections, and roles
TEXT_LIMIT = 1024
# Where AWX looks for them, too; only those at the root may hold both.
BOTH, COLLECTIONS, ROLES = "requirements", "collections/requirements", "roles/requirements"
ENDINGS = (".yml", ".yaml")

COLLECTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
GALAXY_ROLE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+", re.ASCII)
DIRECTORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
VERSION = re.compile(r"[A-Za-z0-9_*<>=!][A-Za-z0-9_./*<>=!,+~@ -]*", re.ASCII)
EXACT = re.compile(r"(==?)?\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?", re.ASCII)
REPOSITORY: TypeAdapter[str] = TypeAdapter(RepoUrl)
COLLECTION_KEYS = {"name", "source", "type", "version"}
ROLE_KEYS = {"name", "role", "scm", "src", "version"}


@dataclass(frozen=True, slots=True)
class Requirements:
    """Entries as ansible-galaxy reads them; `pinned` when they mean the same thing at any time."""

    collections: tuple[dict[str, str], ...] = ()
    roles: tuple[dict[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.collections or self.roles)

    @property
    def pinned(self) -> bool:
        return all(map(_collection_is_pinned, self.collections)) and all(map(_role_is_pinned, self.roles))

    @property
    def uses_git(self) -> bool:
        return any(entry["type"] == "git" for entry in self.collections) or any("scm" in entry for entry in self.roles)

    def as_json(self) -> str:
        """JSON, which is YAML as well: the file for ansible-galaxy and a part of the cache's key."""
        return json.dumps({"collections": self.collections, "roles": self.roles}, sort_keys=True)


def requested(project: Path, source: Source, schemes: frozenset[str]) -> Requirements:
    """All that the project's files and the request ask for.

    JobError requirements_invalid, or path_outside_repository for a file that is a link out of the project.
    """
    collections, roles = [], []
    for file in _files(project):
        more_collections, more_roles = _read(project, file)
        collections += [_collection(file, entry, schemes) for entry in more_collections]
        roles += [_role(file, entry, schemes) for entry in more_roles]
    collections += [_named(wanted.name, wanted.version) for wanted in source.collections]
    if isinstance(source, CollectionRoleSource):
        collections.append(_named(source.collection, source.version))
    if max(len(collections), len(roles)) > MOST:
        raise JobError("requirements_invalid", f"the requirements name more than {MOST} collections or roles")
    return Requirements(_unique(collections), _unique(roles))


def _files(project: Path) -> Iterator[str]:
    for stem in (COLLECTIONS, ROLES, BOTH):
        for file in (stem + ending for ending in ENDINGS):
            if os.path.lexists(project / file):
                yield file
                break


def _read(project: Path, file: str) -> tuple[list[Any], list[Any]]:
    """The entries for collections and for roles."""
    path = resolve_inside(project, file)
    if not path.is_file() or path.stat().st_size > SIZE_LIMIT:
        raise _invalid(file, f"make it a file of at most {SIZE_LIMIT} bytes")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError, RecursionError):
        raise _invalid(file, "correct its YAML") from None
    if isinstance(document, list) and not file.startswith(COLLECTIONS):
        document = {"roles": document}
    if document is None:
        document = {}
    if not isinstance(document, dict) or document.keys() - {"collections", "roles"}:
        raise _invalid(file, "give a mapping with `collections` and `roles` and nothing else")
    lists = [document.get(name) or [] for name in ("collections", "roles")]
    if not all(isinstance(entries, list) for entries in lists):
        raise _invalid(file, "`collections` and `roles` must be lists")
    if file.startswith(ROLES):  # AWX installs collections only from the other two
        lists[0] = []
    if file.startswith(COLLECTIONS):
        lists[1] = []
    return lists[0], lists[1]


def _collection(file: str, entry: Any, schemes: frozenset[str]) -> dict[str, str]:
    texts = _texts(file, {"name": entry} if isinstance(entry, str) else entry, COLLECTION_KEYS)
    kind = texts.pop("type", None)
    if kind in (None, "galaxy") and COLLECTION.fullmatch(texts.get("name", "")):
        source = texts.get("source")
        if source is not None and (kind == "galaxy" or not source.startswith(("git+", "git@"))):
            _check_web(file, source)
            return texts | {"type": "galaxy"}
        if source is None:
            return texts | {"type": "galaxy"}
    address = texts.pop("source", None) or texts.pop("name", "")
    texts.pop("name", None)  # the collection itself says it
    if kind == "git" or (kind is None and address.startswith(("git+", "git@"))):
        address, _, version = address.removeprefix("git+").partition(",")
        if version and not VERSION.fullmatch(version):
            raise _invalid(file, f"{version[:100]!r} is not a git ref")
        repository, _, directory = address.partition("#")
        _check_git(file, repository, schemes)
        if ".." in directory:
            raise _invalid(file, "a directory of a repository must lie in it")
        return texts | {"type": "git", "source": address} | ({"version": version} if version else {})
    if kind in (None, "url") and address.startswith(("https://", "http://")):
        _check_web(file, address)
        return texts | {"type": "url", "source": address}
    raise _invalid(file, f"{_shown(address)} is not a collection of a Galaxy server, a git repository or a web address")


def _role(file: str, entry: Any, schemes: frozenset[str]) -> dict[str, str]:
    texts = _texts(file, _split_role(file, entry), ROLE_KEYS)
    if "role" in texts:
        texts["src"] = texts.pop("role")
    source = texts.pop("src", None) or texts.get("name", "")
    scm = texts.pop("scm", None)
    if source.startswith("git+"):
        scm, source = "git", source.removeprefix("git+")
    elif "github.com" in source and source.startswith("http") and not source.endswith(".tar.gz"):
        scm = "git"  # as Ansible has it
    name = texts.get("name") if texts.get("name") != source else None
    name = name or _role_name(source)
    if not DIRECTORY.fullmatch(name) or ".." in name:
        raise _invalid(file, f"{_shown(name)} cannot be the name of a role")
    known = {"name": name, "src": source} | ({"version": texts["version"]} if "version" in texts else {})
    if scm == "git":
        _check_git(file, source, schemes)
        return known | {"scm": "git"}
    if scm is not None:
        raise _invalid(file, "roles come from Galaxy, git or a web address: `scm` can only be git")
    if "://" in source:
        _check_web(file, source)
    elif not GALAXY_ROLE.fullmatch(source):
        raise _invalid(file, f"{_shown(source)} is not a role of a Galaxy server, a git repository or a web address")
    return known


def _split_role(file: str, entry: Any) -> Any:
    """The old way to write a role in one line: name, version, other name."""
    if not isinstance(entry, str):
        return entry
    parts = [part.strip() for part in entry.split(",")]
    if len(parts) > 3:
        raise _invalid(file, "write a role as name, version, other name")
    return {key: part for key, part in zip(("src", "version", "name"), parts, strict=False) if part}


def _role_name(source: str) -> str:
    """As Ansible makes one of an address."""
    if "://" not in source and "@" not in source:
        return source
    return source.rsplit("/", 1)[-1].removesuffix(".git").removesuffix(".tar.gz").partition(",")[0]


def _texts(file: str, entry: Any, keys: set[str]) -> dict[str, str]:
    """The entry with nothing but short texts in it."""
    if not isinstance(entry, dict):
        raise _invalid(file, "write each entry as a name or a mapping")
    if unknown := sorted(str(key)[:50] for key in entry if key not in keys):
        raise _invalid(file, f"remove {', '.join(unknown)}: an entry may have {', '.join(sorted(keys))}")
    given = {str(key): value for key, value in entry.items() if value is not None and value != ""}
    if any(not isinstance(value, str | int | float | date) for value in given.values()):
        raise _invalid(file, "write single values in an entry, no lists or mappings")
    try:
        texts = {key: str(value) for key, value in given.items()}
    except ValueError:  # a number of more digits than Python writes
        raise _invalid(file, "write short numbers, or texts") from None
    for key, text in texts.items():
        if len(text) > TEXT_LIMIT or not text.isprintable() or text[0] == "-":
            raise _invalid(file, f"{key} must be a short text that does not begin with '-'")
    if "version" in texts and not VERSION.fullmatch(texts["version"]):
        raise _invalid(file, f"{texts['version'][:100]!r} is not a version, a range of versions or a git ref")
    return texts


def _check_web(file: str, address: str) -> None:
    parts = _split(file, address)
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
        raise _invalid(file, f"{_shown(address)} is not a web address without a login")


def _check_git(file: str, address: str, schemes: frozenset[str]) -> None:
    """As strict as with the repositories of requests: this becomes an argument of git."""
    try:
        REPOSITORY.validate_python(address)
    except ValidationError as error:
        raise _invalid(file, error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    if "://" in address and not _split(file, address).hostname:
        raise _invalid(file, f"{_shown(address)} names no host")
    if repo_scheme(address) not in schemes:
        raise _invalid(file, f"{_shown(address)} is not a git address of an allowed kind: {', '.join(sorted(schemes))}")


def _split(file: str, address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        raise _invalid(file, "an address is not a URL") from None


def _shown(text: str) -> str:
    return repr(re.sub(r"//[^/@]*@", "//", text)[:100])


def _named(name: str, version: str | None) -> dict[str, str]:
    return {"name": name, "type": "galaxy"} | ({"version": version} if version else {})


def _unique(entries: list[dict[str, str]]) -> tuple[dict[str, str], ...]:
    return tuple({json.dumps(entry, sort_keys=True): entry for entry in entries}.values())


def _collection_is_pinned(entry: dict[str, str]) -> bool:
    version = entry.get("version", "")
    if entry["type"] == "galaxy":
        return EXACT.fullmatch(version) is not None
    return entry["type"] == "git" and FULL_COMMIT.fullmatch(version) is not None


def _role_is_pinned(entry: dict[str, str]) -> bool:
    version = entry.get("version", "")
    if "scm" in entry:
        return FULL_COMMIT.fullmatch(version) is not None
    return bool(version) and "://" not in entry["src"]


def _invalid(file: str, advice: str) -> JobError:
    return JobError("requirements_invalid", f"{file}: {advice}")
