"""The play that is written around a role, so that Ansible can run it."""

import os
import re
import secrets
from pathlib import Path

import yaml

from ansible_api.errors import JobError
from ansible_api.execution.source import resolve_inside
from ansible_api.execution.workspace import write_private
from ansible_api.jobs.sources import CollectionRoleSource, RoleSource

MAIN = ("tasks/main.yml", "tasks/main.yaml", "tasks/main.json", "tasks/main")
SHOWN = 30  # names of roles in a message


def write_role_play(project: Path, source: RoleSource, gather_facts: bool) -> str:
    """A play around a role of the project, by its path in it.

    JobError role_not_found, role_without_tasks, or path_outside_repository for a role or tasks that a link leads out.
    """
    role = resolve_inside(project, source.path)
    if not role.is_dir():
        raise JobError("role_not_found", f"the repository has no directory {source.path}: correct source.path")
    _check_tasks(project, os.path.relpath(role, project.resolve()), source.path)
    directory = _new_directory(project)
    name = _name(source)
    # Roles beside a playbook come first: the role is found under its own name, whatever else has that name.
    (directory / "roles").mkdir(mode=0o700)
    (directory / "roles" / name).symlink_to(os.path.relpath(role, directory.resolve() / "roles"))
    return _write(project, directory, name, gather_facts)


def role_directories(project: Path, source: RoleSource) -> tuple[Path, ...]:
    """Where the role's dependencies may lie: beside it, and in `roles` of the repository."""
    parent = resolve_inside(project, source.path).parent
    return tuple(dict.fromkeys([*([parent] if parent.is_relative_to(project.resolve()) else []), project / "roles"]))


def write_collection_play(project: Path, source: CollectionRoleSource, collections: Path, gather_facts: bool) -> str:
    """A play around a role of an installed collection, by its path in the project; JobError role_not_found."""
    namespace, name = source.collection.split(".")
    installed = collections / "ansible_collections" / namespace / name
    roles = sorted(path.name for path in installed.glob("roles/*") if path.is_dir())
    if source.role not in roles:
        there_are = ", ".join(roles[:SHOWN]) or "none"
        raise JobError("role_not_found", f"{source.collection} has no role {source.role}; it has: {there_are}")
    full_name = f"{source.collection}.{source.role}"
    _check_tasks(installed, f"roles/{source.role}", full_name)
    return _write(project, _new_directory(project), full_name, gather_facts)


def _check_tasks(root: Path, role: str, shown: str) -> None:
    if not any(resolve_inside(root, f"{role}/{main}").is_file() for main in MAIN):
        raise JobError("role_without_tasks", f"the role {shown} has no tasks/main.yml: nothing would run")


def _name(source: RoleSource) -> str:
    """The directory's, or the repository's when the role is all of it; a name that Ansible takes as it is."""
    parts = [part for part in source.path.split("/") if part not in ("", ".")]
    name = parts[-1] if parts else re.split(r"[/:]", source.repo.rstrip("/"))[-1].removesuffix(".git")
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".-") or "role"


def _new_directory(project: Path) -> Path:
    """A name that the repository cannot have taken."""
    directory = project / f".ansible-api-{secrets.token_hex(8)}"
    directory.mkdir(mode=0o700)
    return directory


def _write(project: Path, directory: Path, role: str, gather_facts: bool) -> str:
    play = {"name": role, "hosts": "all", "gather_facts": gather_facts, "roles": [{"role": role}]}
    path = write_private(directory / "play.yml", yaml.safe_dump([play], sort_keys=False))
    return str(path.relative_to(project))
