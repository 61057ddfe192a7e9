"""Stores what a play left for its caller, while its workspace is there; trouble with it never harms the job."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from ansible_api.errors import AnsibleApiError
from ansible_api.events import keys
from ansible_api.execution.artifacts import Artifacts, Found, LeftOut
from ansible_api.logs import get_logger
from ansible_api.objects import ObjectStore, put_in_time, with_store
from ansible_api.settings import Settings

PATIENCE = 60.0  # seconds for all of a job's files, while the store takes them
SILENCE = 5.0  # seconds for one file, and more for a large one
SLOWEST = 4 * 1024 * 1024  # bytes a second
NO_TIME = "the object store did not take it in time"
log = get_logger(__name__)


@dataclass
class _Kept:
    """What became of the files of an attempt so far."""

    attempt: tuple[str, int]
    files: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def leave_out(self, one: Found) -> None:
        self.left_out.append({"name": one.name, "reason": one.reason if isinstance(one, LeftOut) else NO_TIME})

    async def store(self, objects: ObjectStore, found: Iterator[Found]) -> None:
        """Store the files one after the other; an AnsibleApiError at the first one that the store does not take."""
        deadline = time.monotonic() + PATIENCE
        for one in found:
            if isinstance(one, LeftOut) or time.monotonic() > deadline:
                self.leave_out(one)
                continue
            key = keys.artifact(*self.attempt, len(self.files))
            try:
                done = await put_in_time(objects, key, one.content, SILENCE + len(one.content) / SLOWEST)
            except AnsibleApiError:
                self.leave_out(one)
                raise
            self.files.append({"name": one.name, "size": done.size, "sha256": done.sha256})


def keep_artifacts(settings: Settings, found: Artifacts, job_id: str, attempt: int) -> dict[str, Any] | None:
    """Store the files; returns what the job says of its artifacts, None when there are none."""
    kept, files = _Kept((job_id, attempt)), found.files()
    if (first := next(files, None)) is not None:
        files = chain([first], files)
        try:
            with_store(settings, lambda objects: kept.store(objects, files))
        except AnsibleApiError as error:
            log.warning("the object store does not take artifacts", job_id=job_id, error=error.detail)
            for one in files:
                kept.leave_out(one)
    if not (found.data or kept.files or kept.left_out):
        return None
    return {"data": dict(found.data), "files": kept.files, "left_out": kept.left_out}
