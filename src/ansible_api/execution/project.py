"""The project of a job: the files of its repository, or the play around a role."""

from pathlib import Path
from typing import Any

from ansible_api.errors import JobError
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.role_play import role_directories, write_collection_play, write_role_play
from ansible_api.execution.source import Checkout, checkout, resolve_inside
from ansible_api.jobs.sources import CollectionRoleSource, GitLocation, RoleSource


def fetch_project(preparation: Preparation) -> dict[str, Any]:
    """Put the source into the workspace; what became known of it, by the job's columns."""
    source = preparation.spec.source
    if not isinstance(source, GitLocation):
        preparation.room.project.mkdir(mode=0o700)
        return {}
    found = check_out_location(preparation, "/source", source, preparation.room.project)
    return {"commit": found.commit, "source_cache": found.cache}


def check_out_location(preparation: Preparation, place: str, location: GitLocation, destination: Path) -> Checkout:
    """The files of what a request names at `place` (JSON Pointer), with that place's credential; as `checkout`."""
    return checkout(
        location.repo,
        location.branch,
        preparation.secrets.git(place),
        cache=preparation.config.cache_dir,
        secrets_dir=preparation.room.secrets,
        destination=destination,
        limits=preparation.config.git,
        keep_going=preparation.keep_going,
        submodules=location.submodules,
    )


def playbooks(preparation: Preparation, needed: Dependencies) -> tuple[str, ...]:
    """What to play, relative to the project; JobError when it is missing or leads out of it."""
    source, options = preparation.spec.source, preparation.spec.options
    project, gather_facts = preparation.room.project, options.gather_facts is not False
    if isinstance(source, RoleSource):
        return (write_role_play(project, source, gather_facts),)
    if isinstance(source, CollectionRoleSource):
        if needed.collections is None:
            raise AssertionError("the source asks for its collection itself")
        return (write_collection_play(project, source, needed.collections, gather_facts),)
    for playbook in source.playbooks:
        if not resolve_inside(project, playbook).is_file():
            raise JobError("playbook_not_found", f"the repository has no playbook {playbook}: correct source.path")
    return source.playbooks


def neighbours(preparation: Preparation) -> tuple[Path, ...]:
    """Where roles lie that the project's role may depend on."""
    source = preparation.spec.source
    return role_directories(preparation.room.project, source) if isinstance(source, RoleSource) else ()


def neighbour_collections(preparation: Preparation) -> tuple[Path, ...]:
    """Where the collections of a role's repository lie: beside a playbook, Ansible would find them by itself."""
    directory = preparation.room.project / "collections"
    return (directory,) if isinstance(preparation.spec.source, RoleSource) and directory.is_dir() else ()
