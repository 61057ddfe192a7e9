"""Collections and roles that a job needs besides its project: installed once, kept, and lent to each job."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from ansible_api.errors import JobError
from ansible_api.execution.galaxy_cache import Shelf
from ansible_api.execution.galaxy_errors import timed_out
from ansible_api.execution.galaxy_install import install, server, token
from ansible_api.execution.git_cache import pause
from ansible_api.execution.git_login import digest, identity
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.requirements import MOST, Requirements, requested
from ansible_api.execution.source import resolve_inside
from ansible_api.jobs.sources import GitLocation

NOTE_LIMIT = 256 * 1024  # bytes of a MANIFEST.json
VERSION_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Where they lie, for as long as they are lent; None: there are none of that sort."""

    collections: Path | None = None
    roles: Path | None = None
    facts: dict[str, Any] | None = None  # what callers see: cache hit or miss, names and versions


@contextmanager
def dependencies(preparation: Preparation) -> Iterator[Dependencies]:
    """What the project's requirements.yml and the request ask for.

    JobError requirements_invalid, and all that installing can raise (galaxy_install.py).
    """
    galaxy = preparation.config.galaxy
    wanted = requested(preparation.room.project, preparation.spec.source, galaxy.git_schemes)
    if not wanted:
        yield Dependencies()
        return
    root = preparation.config.cache_dir.parent / "galaxy"
    shelf = Shelf(root, _key(preparation, wanted), math.inf if wanted.pinned else galaxy.ttl)
    wait = _patience(galaxy.timeout, preparation.keep_going)
    with shelf.lent(partial(install, preparation, wanted), wait, galaxy.cache_size) as (files, hit):
        collections, roles = files / "collections", files / "roles"
        facts = {
            "cache": "hit" if hit else "miss",
            "collections": list(_collections(collections)),
            "roles": list(_roles(roles)),
        }
        yield Dependencies(collections, roles, facts)


def _key(preparation: Preparation, wanted: Requirements) -> str:
    """What decides what is installed; what one credential may read is never lent to another."""
    opened, source = token(preparation), preparation.spec.source
    git = ""
    if isinstance(source, GitLocation) and wanted.uses_git:
        git = f"{source.repo} {identity(preparation.secrets.git('/source'))}"
    secret = opened.token.get_secret_value() if opened else ""
    return digest(wanted.as_json(), server(preparation), secret, git, version("ansible-core"))


def _patience(seconds: float, keep_going: Callable[[], bool]) -> Callable[[], None]:
    """How to wait for another job that installs the same."""
    deadline = time.monotonic() + seconds

    def wait() -> None:
        if not keep_going():
            raise JobError("canceled", "the job was stopped while it was prepared")
        if time.monotonic() > deadline:
            raise timed_out(seconds)
        pause()

    return wait


def _collections(directory: Path) -> Iterator[dict[str, str]]:
    for path in sorted(directory.glob("ansible_collections/*/*/MANIFEST.json"))[:MOST]:
        info = _note(directory, path, json.loads).get("collection_info")
        number = info.get("version") if isinstance(info, dict) else None
        yield {"name": f"{path.parts[-3]}.{path.parts[-2]}", "version": _version(number)}


def _roles(directory: Path) -> Iterator[dict[str, str]]:
    for path in sorted(directory.glob("*/meta/.galaxy_install_info"))[:MOST]:
        number = _note(directory, path, yaml.safe_load).get("version")
        yield {"name": path.parts[-3], "version": _version(number)}


def _version(noted: Any) -> str:
    # Only of what is short: a list of YAML's may stand for more than memory holds.
    try:
        return str(noted)[:VERSION_LIMIT] if isinstance(noted, str | int | float) else ""
    except ValueError:  # a number of more digits than Python writes
        return ""


def _note(directory: Path, path: Path, load: Callable[[str], Any]) -> dict[str, Any]:
    """What an installed file says of itself; nothing when it cannot be read."""
    try:
        inside = resolve_inside(directory, str(path.relative_to(directory)))
        if inside.stat().st_size > NOTE_LIMIT:
            return {}
        noted = load(inside.read_text(encoding="utf-8"))
    except (JobError, OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return noted if isinstance(noted, dict) else {}
