"""Collections and roles that a job needs besides its project: installed once, kept, and lent to each job."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_api.execution.preparation import Preparation


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Where they lie, for as long as they are lent; None: there are none of that sort."""

    collections: Path | None = None
    roles: Path | None = None
    facts: dict[str, Any] | None = None  # what callers see: cache hit or miss, names and versions


@contextmanager
def dependencies(preparation: Preparation) -> Iterator[Dependencies]:
    """What the project's requirements.yml and the request ask for."""
    yield Dependencies()
