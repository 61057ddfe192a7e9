"""Where the events of an attempt lie: one Redis stream, and objects in the store."""

END_FIELD = b"end"
EVENT_FIELD = b"e"


def stream(job_id: str, attempt: int) -> str:
    """The Redis stream; an entry's id is the event's `seq`."""
    return f"ansible-api:events:{job_id}:{attempt}"


def ended(job_id: str) -> str:
    """A Redis stream with one entry once the job has ended; it is gone a minute later."""
    return f"ansible-api:ended:{job_id}"


def log_object(job_id: str, attempt: int) -> str:
    """The full log as text."""
    return f"jobs/{job_id}/{attempt}/log.txt"


def events_object(job_id: str, attempt: int) -> str:
    """All events as NDJSON."""
    return f"jobs/{job_id}/{attempt}/events.ndjson"


def segments(job_id: str, attempt: int) -> str:
    """The prefix of what moved out of Redis while the play ran."""
    return f"jobs/{job_id}/{attempt}/segments/"


def segment(job_id: str, attempt: int, first_seq: int) -> str:
    """One segment: NDJSON from that event on; names sort by it."""
    return f"{segments(job_id, attempt)}{first_seq:012d}.ndjson"
