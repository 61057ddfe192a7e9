"""Where the events of an attempt lie: one Redis stream, and objects in the store."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from ansible_api.events.types import Place

END_FIELD = b"end"
EVENT_FIELD = b"e"
PLACE_FIELD = b"o"  # where the event ends in either log


def stream(job_id: str, attempt: int) -> str:
    """The Redis stream; an entry's id is the event's `seq`."""
    return f"ansible-api:events:{job_id}:{attempt}"


def ended(job_id: str) -> str:
    """A Redis stream with one entry once the job has ended; it is gone a minute later."""
    return f"ansible-api:ended:{job_id}"


def of_job(job_id: str) -> str:
    """The prefix of all that is stored of a job."""
    return f"jobs/{job_id}/"


def is_product(key: str, job_id: str, attempt: int) -> bool:
    """Whether an object of the job stays when the log of this attempt, its last, is stored."""
    artifacts = artifact(job_id, attempt, 0).rpartition("/")[0]
    return key in (log_object(job_id, attempt), events_object(job_id, attempt)) or key.startswith(f"{artifacts}/")


def log_object(job_id: str, attempt: int, *, whole: bool = True) -> str:
    """The log as text. One that may lack its end lies elsewhere, so that it never takes the place of the whole."""
    return f"jobs/{job_id}/{attempt}/{'log' if whole else 'log.partial'}.txt"


def events_object(job_id: str, attempt: int, *, whole: bool = True) -> str:
    """All events as NDJSON; see `log_object`."""
    return f"jobs/{job_id}/{attempt}/{'events' if whole else 'events.partial'}.ndjson"


def artifact(job_id: str, attempt: int, number: int) -> str:
    """A file that the play left; names are kept in the job's row."""
    return f"jobs/{job_id}/{attempt}/artifacts/{number:04d}"


def segments(job_id: str, attempt: int) -> str:
    """The prefix of what moved out of Redis while the play ran."""
    return f"jobs/{job_id}/{attempt}/segments/"


_SEGMENT = re.compile(r"(\d+)-(\d+)_(\d+)-(\d+)_(\d+)-(\d+)\.ndjson")


@dataclass(frozen=True, slots=True)
class Segment:
    """NDJSON of the events after `start` up to `end`; its name tells both, so that an offset is found by a listing."""

    start: Place
    end: Place

    @property
    def name(self) -> str:
        """Names sort by the first event."""
        (before, text, ndjson), end = self.start, self.end
        return f"{before + 1:012d}-{end.seq:012d}_{text}-{end.text}_{ndjson}-{end.ndjson}.ndjson"

    @classmethod
    def from_key(cls, key: str) -> Self | None:
        match = _SEGMENT.fullmatch(key.rpartition("/")[2])
        if match is None:
            return None
        first, last, *bytes_ = map(int, match.groups())
        return cls(Place(first - 1, bytes_[0], bytes_[2]), Place(last, bytes_[1], bytes_[3]))


def segment(job_id: str, attempt: int, part: Segment) -> str:
    return segments(job_id, attempt) + part.name


def chain(names: Iterable[str]) -> list[Segment]:
    """Of an attempt's segments those that tell its events from the first one on.

    Some may repeat others: a write that seemed to fail was done after all, and what came in its place holds more.
    """
    found = sorted(filter(None, map(Segment.from_key, names)), key=lambda segment: segment.start.seq)
    chosen, best, position = list[Segment](), Segment(Place(), Place()), 0
    while True:
        end = chosen[-1].end.seq if chosen else 0
        while position < len(found) and found[position].start.seq <= end:
            best = max(best, found[position], key=lambda segment: segment.end.seq)
            position += 1
        if best.end.seq <= end:
            return chosen
        chosen.append(best)
