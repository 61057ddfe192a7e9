"""What becomes of the spools that nobody holds: their child was killed, or could not publish, or all is well.

A spool stays until the log of its attempt is stored whole, or is closed with all that the spool has. One that the log
may need goes to the object store as segments: before the job of a dead child is ended, or when closing it has found too
little. How many events there were it tells only if it cannot have lost any.
"""

import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from structlog.contextvars import bound_contextvars

from ansible_api.db import Database
from ansible_api.errors import Unavailable
from ansible_api.events import keys
from ansible_api.events.spool import SpoolReader, attempt_of, unheld
from ansible_api.events.types import Place
from ansible_api.jobs import closing, store
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import LogStatus, Status
from ansible_api.logs import get_logger
from ansible_api.objects import PUT_LIMIT, ObjectStore, in_time, put_in_time, with_store
from ansible_api.settings import Settings
from ansible_api.tasks.leftovers import drop_leftovers

PATIENCE = 30.0  # seconds that the closing of an orderly end may take before its spool is read
LIMIT = 10.0  # seconds for one look; upkeep has other things to do, and the rest follows at the next look
SPOOL_DAYS = 7
log = get_logger(__name__)


def rescue(db: Database, settings: Settings) -> None:
    """Look at each spool, in any order, while there is time. Unavailable: database or object store are away."""
    spools, deadline = list((settings.state_dir / "spool").glob("*.ndjson")), time.monotonic() + LIMIT
    random.SystemRandom().shuffle(spools)  # none is last each time
    for path in spools:
        with suppress(FileNotFoundError), unheld(path) as spool:
            attempt = attempt_of(path)
            if spool is None or attempt is None:
                continue
            if _too_old(path) or not _needed(db, settings, spool, *attempt):
                path.unlink()
        if time.monotonic() > deadline:
            return


def _too_old(path: Path) -> bool:
    return path.stat().st_mtime < time.time() - SPOOL_DAYS * 86400


def _needed(db: Database, settings: Settings, spool: SpoolReader, job_id: str, attempt: int) -> bool:
    """Store what the log may lack; False: the spool is of no more use."""
    job = db.read(store.get, job_id)
    if job is None or job.attempt != attempt or job.log_status in (LogStatus.STORED, LogStatus.EXPIRED):
        return False
    if _ended_well(job):
        return True
    with bound_contextvars(**job.log_fields):
        return _rescued(db, settings, spool, job)


def _rescued(db: Database, settings: Settings, spool: SpoolReader, job: Job) -> bool:
    """Store what the spool has; False: it is of no more use.

    That of an attempt whose job waits for the next one is not: all that it had is in the object store.
    """
    job_id, attempt = job.id, job.attempt
    end, events = with_store(settings, lambda objects: in_time(_fill(objects, settings, spool, job), LIMIT + PUT_LIMIT))
    if db.write(closing.rescued, job_id, attempt, events=events, stored=end.ndjson):
        log.warning("a log is closed again, with what a spool had", events=events)
        with suppress(Unavailable):  # they cost space, not truth
            with_store(settings, lambda objects: in_time(_drop_partial(objects, job_id, attempt), PUT_LIMIT))
        return True
    now = db.read(store.get, job_id)
    if now is not None and now.log_status == LogStatus.STORED:  # while segments were on their way
        with suppress(Unavailable):
            with_store(settings, lambda objects: in_time(drop_leftovers(objects, job_id, attempt), PUT_LIMIT))
    return now is not None and now.closed_at is None and now.status != Status.QUEUED


def _ended_well(job: Job) -> bool:
    """Its child told how many events there are and is being closed: the stream has what the segments lack."""
    if job.finished_at is None or job.events is None or job.log_status != LogStatus.PENDING:
        return False
    return (datetime.now(UTC) - job.finished_at).total_seconds() < PATIENCE


async def _fill(objects: ObjectStore, settings: Settings, spool: SpoolReader, job: Job) -> tuple[Place, int | None]:
    """Store as segments what they lack; where they end now, and how many events there were if that is known."""
    known = keys.chain([name async for name in objects.keys(keys.segments(job.id, job.attempt))])
    start = known[-1].end if known else Place()
    had = start.seq
    if 0 < had == job.events:
        return start, had
    place, events, deadline = Place(), list[bytes](), time.monotonic() + LIMIT
    while lines := spool.read(settings.hot_events):
        for line in lines:
            place = place.after(line.event, line.text_size)
            if place.seq > start.seq:
                events.append(line.event)
        if events:
            if start.seq > had and time.monotonic() > deadline:
                raise Unavailable("the object store takes a spool slowly")
            name = keys.segment(job.id, job.attempt, keys.Segment(start, place))
            await put_in_time(objects, name, b"".join(b"%b\n" % event for event in events))
            log.info("events went from a spool to the object store", events=len(events))
            start, events = place, []
    return start, place.seq if spool.lost_nothing else None


async def _drop_partial(objects: ObjectStore, job_id: str, attempt: int) -> None:
    for name in (keys.log_object, keys.events_object):
        await objects.delete(name(job_id, attempt, whole=False))
