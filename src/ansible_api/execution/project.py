"""The project of a job: the files of its repository, or the play around a role."""

from typing import Any

from ansible_api.errors import JobError
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.source import checkout, resolve_inside
from ansible_api.jobs.sources import GitLocation, PlaybookSource


def fetch_project(preparation: Preparation) -> dict[str, Any]:
    """Put the source into the workspace; what became known of it, by the job's columns."""
    source = preparation.spec.source
    if not isinstance(source, GitLocation):
        preparation.room.project.mkdir(mode=0o700)
        return {}
    found = checkout(
        source.repo,
        source.branch,
        preparation.secrets.git("/source"),
        cache=preparation.config.cache_dir,
        secrets_dir=preparation.room.secrets,
        destination=preparation.room.project,
        limits=preparation.config.git,
        keep_going=preparation.keep_going,
        submodules=source.submodules,
    )
    return {"commit": found.commit, "source_cache": found.cache}


def playbooks(preparation: Preparation) -> tuple[str, ...]:
    """What to play, relative to the project; JobError when it is missing or leads out of it."""
    source = preparation.spec.source
    if not isinstance(source, PlaybookSource):
        raise JobError("source_not_supported", f"sources of type {source.type} cannot be run yet")
    for playbook in source.playbooks:
        if not resolve_inside(preparation.room.project, playbook).is_file():
            raise JobError("playbook_not_found", f"the repository has no playbook {playbook}: correct source.path")
    return source.playbooks
