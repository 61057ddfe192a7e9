"""Stores what a play left for its caller, while its workspace is there; trouble with it never harms the job."""

import time
from typing import Any

from ansible_api.errors import AnsibleApiError
from ansible_api.events import keys
from ansible_api.execution.artifacts import Artifact, Artifacts, LeftOut
from ansible_api.logs import get_logger
from ansible_api.objects import ObjectStore, put_in_time, with_store
from ansible_api.settings import Settings

PATIENCE = 60.0  # seconds for all of a job's files
NO_TIME = "the object store did not take it in time"
log = get_logger(__name__)


def keep_artifacts(settings: Settings, found: Artifacts, job_id: str, attempt: int) -> dict[str, Any] | None:
    """Store the files; returns what the job says of its artifacts, None when there are none."""
    stored: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    deadline = time.monotonic() + PATIENCE
    for one in found.files():
        if isinstance(one, LeftOut):
            left_out.append({"name": one.name, "reason": one.reason})
        elif (document := _stored(settings, one, keys.artifact(job_id, attempt, len(stored)), deadline)) is not None:
            stored.append(document)
        else:
            left_out.append({"name": one.name, "reason": NO_TIME})
    if not (found.data or stored or left_out):
        return None
    return {"data": dict(found.data), "files": stored, "left_out": left_out}


def _stored(settings: Settings, file: Artifact, key: str, deadline: float) -> dict[str, Any] | None:
    async def put(objects: ObjectStore) -> dict[str, Any]:
        done = await put_in_time(objects, key, file.content)
        return {"name": file.name, "size": done.size, "sha256": done.sha256}

    pause = 0.5
    while time.monotonic() < deadline:
        try:
            return with_store(settings, put)
        except AnsibleApiError as error:
            log.warning("an artifact waits for the object store", error=error.detail)
            time.sleep(pause)
            pause *= 2
    return None
