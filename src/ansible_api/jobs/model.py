"""The tables of jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ansible_api.db import Base, UtcDateTime
from ansible_api.jobs.state import Phase, Status
from ansible_api.tracing import trace_id

LONGEST_REPO = 255
LONGEST_SEARCH_TEXT = 1000


class Job(Base):
    """One job: what was asked, where it stands, who works on it."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "team", "id"),
        Index(None, "team", "status", "id"),
        Index(None, "status", "lease_until"),
        Index(None, "status", "republish_at"),
        Index(None, "closed_at", "finished_at"),
        Index("ix_jobs_line", "status", "queue", "republish_at", "team", "key_id", "turn_at"),
        Index("ix_jobs_team_concurrency_group", "team", "concurrency_group", "status"),
        Index(None, "log_status", "log_expires_at", "closed_at"),
        *(Index(None, "team", column, "id") for column in ("repo", "queue", "key_id")),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    team: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(40))
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16), default=Status.QUEUED)
    phase: Mapped[str] = mapped_column(String(16), default=Phase.QUEUED)
    queue: Mapped[str] = mapped_column(String(32))
    priority: Mapped[int] = mapped_column(Integer)
    route_reason: Mapped[str] = mapped_column(String(255))
    turn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # its place in line: see jobs/line.py
    concurrency_group: Mapped[str | None] = mapped_column(String(128))
    concurrency_limit: Mapped[int | None] = mapped_column(Integer)

    attempt: Mapped[int] = mapped_column(Integer, default=0)
    # Attempts that came to nothing, by a loss or by transient trouble; those that a shutdown handed back do not count.
    failures: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Of a job that waits: when its message counts as lost; null: it stands in line, and the broker knows nothing of it.
    republish_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    republish_count: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    play_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # log stored or given up
    counted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # in the metrics of whoever closed it first

    commit: Mapped[str | None] = mapped_column(String(64))
    source_cache: Mapped[str | None] = mapped_column(String(8))
    dependencies: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    inventory: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    artifacts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    relaunch_of: Mapped[str | None] = mapped_column(String(40))
    timings: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
    current_play: Mapped[str | None] = mapped_column(String(255))
    current_task: Mapped[str | None] = mapped_column(String(255))
    return_code: Mapped[int | None] = mapped_column(Integer)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    log_status: Mapped[str] = mapped_column(String(16), default="pending")
    # Where the request says how long; of an expired log: when to look again for what is left of it.
    log_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    events: Mapped[int | None] = mapped_column(BigInteger)  # of this attempt; unknown while it runs
    trace_parent: Mapped[str | None] = mapped_column(String(64))
    repo: Mapped[str | None] = mapped_column(String(LONGEST_REPO))  # the source's, or how it begins
    search_text: Mapped[str | None] = mapped_column(String(LONGEST_SEARCH_TEXT))

    @property
    def log_fields(self) -> dict[str, Any]:
        """What each log line carries that speaks of this job."""
        fields = {"job_id": self.id, "attempt": self.attempt, "queue": self.queue, "key_id": self.key_id}
        trace = trace_id(self.trace_parent)
        return fields if trace is None else fields | {"trace_id": trace}


class JobAttempt(Base):
    """One attempt at a job: who had it, how far it came, and what ended it."""

    __tablename__ = "job_attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker: Mapped[str] = mapped_column(String(128))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    play_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    phase: Mapped[str | None] = mapped_column(String(16))  # the last one that it reached
    timings: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
    outcome: Mapped[str | None] = mapped_column(String(16))  # the job's status afterwards; queued: it waits again
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    late_outcome: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class WorkerNode(Base):
    """A worker that serves queues; its upkeep says every few seconds that it is there."""

    __tablename__ = "workers"

    node: Mapped[str] = mapped_column(String(128), primary_key=True)
    queues: Mapped[list[str]] = mapped_column(JSON)
    slots: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    drain_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it was told to take no more jobs


class QueuePause(Base):
    """A queue of which no job begins."""

    __tablename__ = "queue_pauses"

    queue: Mapped[str] = mapped_column(String(32), primary_key=True)
    paused_at: Mapped[datetime] = mapped_column(UtcDateTime)
    paused_by: Mapped[str | None] = mapped_column(String(40))


class LineTurn(Base):
    """When the broker was last told of a job of a line."""

    __tablename__ = "line_turns"

    queue: Mapped[str] = mapped_column(String(32), primary_key=True)
    team: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    served_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ConcurrencyGroup(Base):
    """Jobs of which only so many run at once; its row is locked by whoever counts them."""

    __tablename__ = "concurrency_groups"

    team: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)


class Repository(Base):
    """A git repository that took long to fetch; its address is kept as a digest."""

    __tablename__ = "repositories"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    seconds: Mapped[float] = mapped_column(Float)  # of the last fetch that found nothing in the cache
    measured_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobLabel(Base):
    """A label of a job; the primary key serves the list of jobs that have it."""

    __tablename__ = "job_labels"
    __table_args__ = (Index(None, "job_id"),)

    team: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    value: Mapped[str] = mapped_column(String(255), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


class IdempotencyKey(Base):
    """Which job an Idempotency-Key stands for; a job's id tells when that was."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "job_id"),)

    team: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))


class JobHost(Base):
    """What happened on one host: Ansible's recap, kept while the play runs."""

    __tablename__ = "job_hosts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    ok: Mapped[int] = mapped_column(Integer, default=0)
    changed: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    unreachable: Mapped[int] = mapped_column(Integer, default=0)
    skipped: Mapped[int] = mapped_column(Integer, default=0)
    rescued: Mapped[int] = mapped_column(Integer, default=0)
    ignored: Mapped[int] = mapped_column(Integer, default=0)


class JobObject(Base):
    """A product of a job in the object store."""

    __tablename__ = "job_objects"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # no longer written: see jobs.log_expires_at
