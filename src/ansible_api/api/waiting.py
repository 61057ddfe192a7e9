"""`?wait=N` and `Prefer: wait=N` (RFC 7240): answer when the job has ended, or after so many seconds."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Header, Query, Request

from ansible_api.api.deps import Service
from ansible_api.events.subscribe import hear_of_end
from ansible_api.jobs import store
from ansible_api.jobs.state import Status

PAUSE = 0.5  # seconds between two looks at a row, unless a worker says before that its job has ended
_PREFERENCE = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the caller waits, in seconds, and what to say of it."""

    seconds: int
    headers: dict[str, str]


async def _patience(
    service: Service,
    wait: Annotated[int | None, Query(ge=0, description="seconds; wins over `Prefer: wait=N`")] = None,
    prefer: Annotated[list[str] | None, Header(description="`wait=N` (RFC 7240)")] = None,
) -> Patience:
    limit = service.settings.wait_limit
    if wait is not None:
        return Patience(min(wait, limit), {})
    if (preferred := preferred_wait(prefer or ())) is None:
        return Patience(0, {})
    seconds = min(preferred, limit)
    return Patience(seconds, {"Preference-Applied": f"wait={seconds}"})


def preferred_wait(headers: Iterable[str]) -> int | None:
    """The seconds of the first `wait` preference; several headers are one list."""
    found = _PREFERENCE.search(",".join(headers))
    return int(found[1]) if found else None


Wait = Annotated[Patience, Depends(_patience)]


async def until_ended(request: Request, service: Service, team: str, job_id: str, seconds: float) -> Status:
    """The job's status, when it has ended, the time is over or nobody listens any more."""
    started = time.monotonic()
    heard = False
    while True:
        status = (await service.db.read(store.standing, team, job_id)).status
        waited = time.monotonic() - started
        if status.terminal or waited >= seconds or await request.is_disconnected():
            return status
        pause = min(PAUSE, seconds - waited)
        if heard:  # what was heard does not go away: the next look is not at once
            await anyio.sleep(pause)
        else:
            heard = await hear_of_end(service.redis, job_id, pause)
