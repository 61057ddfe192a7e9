"""What we answer about jobs: GET, lists, webhook payload and the stream's last event are this one shape."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ansible_api.jobs.model import Job, JobAttempt, JobHost
from ansible_api.jobs.state import Phase, Status
from ansible_api.jobs.why_waiting import WhyWaiting
from ansible_api.routing import Queue


class Answer(BaseModel):
    """Times are UTC with `Z`."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Progress(Answer):
    """Where the play stands; the same fields whatever the job."""

    current_play: str | None = None
    current_task: str | None = None
    hosts_ok: int = 0
    hosts_failed: int = Field(0, description="failed or unreachable")
    hosts_pending: int = 0


class JobFailure(Answer):
    """Why a job did not succeed: a stable code, and a sentence for people."""

    code: str
    message: str


class LateOutcome(Answer):
    """How a play ended that had been given up as lost; it changes no status."""

    status: Status
    return_code: int | None
    error: JobFailure | None
    ended_at: datetime


class AttemptView(Answer):
    """One attempt at the job."""

    attempt: int
    worker: str = Field(description="the worker's host, process and start, and after `/` the child that had the job")
    started_at: datetime
    play_started_at: datetime | None
    ended_at: datetime | None
    phase: Phase | None = Field(description="the last phase that it reached; null while it runs")
    timings: dict[str, float] = Field(description="seconds spent in each phase that it finished")
    outcome: Status | None = Field(
        description="the job's status afterwards: `queued` when it waits for another attempt"
    )
    error: JobFailure | None = Field(description="why it ended so")
    late_outcome: LateOutcome | None = Field(description="what was heard of the play after it had been given up")


class JobView(Answer):
    """A job as callers see it."""

    id: str
    status: Status
    phase: Phase
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    queue: Queue
    priority: int
    route_reason: str = Field(description="why the job waits in this queue")
    attempt: int
    attempts: list[AttemptView] = Field(description="first to last; lists of jobs do without")
    why_waiting: WhyWaiting | None = Field(description="what holds a queued job; lists of jobs do without")
    next_attempt_at: datetime | None
    last_error: str | None = Field(description="what ended the attempt before, when there was one")
    source: dict[str, Any] = Field(description="what was asked for, with the resolved `commit`")
    dependencies: dict[str, Any] | None = Field(description="collections and roles that were installed for the job")
    inventory: dict[str, Any] | None = Field(description="how many hosts it has, and which of them the limit matched")
    plan: dict[str, Any] | None = Field(
        description="what would run, when options.dry_run asked for it; lists do without"
    )
    artifacts: dict[str, Any] | None = Field(
        description="what the play left: `data` of set_stats, `files`, and those `left_out`; lists do without"
    )
    relaunch_of: str | None = Field(description="the job that this one repeats")
    key_id: str = Field(description="the API key that submitted it")
    options: dict[str, Any]
    progress: Progress
    timings: dict[str, float] = Field(description="seconds spent in each phase")
    return_code: int | None = Field(description="of ansible-playbook")
    error: JobFailure | None
    log_status: str = Field(
        description="pending; stored: the log has every event that the play reported; partial: its end may be missing; "
        "failed: it could not be stored yet, which is tried again for a day; expired: it has had its time"
    )
    log_url: str


class JobPage(Answer):
    """One page of jobs, newest first."""

    items: list[JobView]
    next_cursor: str | None


class HostView(Answer):
    """Ansible's recap of one host."""

    host: str
    ok: int
    changed: int
    failed: int
    unreachable: int
    skipped: int
    rescued: int
    ignored: int


class HostList(Answer):
    items: list[HostView]


def job_view(
    job: Job,
    totals: tuple[int, int, int] = (0, 0, 0),
    *,
    attempts: Sequence[JobAttempt] = (),
    why_waiting: WhyWaiting | None = None,
    base_url: str = "",
    brief: bool = False,
) -> JobView:
    """A row and its host totals (known, ok, bad) as callers see them; `brief` leaves out what may be long."""
    known, good, bad = totals
    pending = 0 if Status(job.status).terminal else max(declared_hosts(job), known) - good - bad
    return JobView(
        id=job.id,
        status=Status(job.status),
        phase=Phase(job.phase),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        cancel_requested_at=job.cancel_requested_at,
        queue=Queue(job.queue),
        priority=job.priority,
        route_reason=job.route_reason,
        attempt=job.attempt,
        attempts=[_attempt(row) for row in attempts],
        why_waiting=why_waiting,
        next_attempt_at=job.next_attempt_at,
        last_error=job.last_error,
        source={**_source(job, brief), "commit": job.commit, "cache": job.source_cache},
        dependencies=job.dependencies,
        inventory=job.inventory,
        plan=None if brief else job.plan,
        artifacts=None if brief else job.artifacts,
        relaunch_of=job.relaunch_of,
        key_id=job.key_id,
        options=_without(job.spec["options"], "env", "limit") if brief else job.spec["options"],
        progress=Progress(
            current_play=job.current_play,
            current_task=job.current_task,
            hosts_ok=good,
            hosts_failed=bad,
            hosts_pending=pending,
        ),
        timings=job.timings,
        return_code=job.return_code,
        error=_failure(job),
        log_status=job.log_status,
        log_url=f"{base_url}/api/v1/jobs/{job.id}/logs",
    )


def _attempt(row: JobAttempt) -> AttemptView:
    return AttemptView(
        attempt=row.attempt,
        worker=row.worker,
        started_at=row.started_at,
        play_started_at=row.play_started_at,
        ended_at=row.ended_at,
        phase=Phase(row.phase) if row.phase else None,
        timings=row.timings,
        outcome=Status(row.outcome) if row.outcome else None,
        error=_failure(row),
        late_outcome=LateOutcome.model_validate(row.late_outcome) if row.late_outcome else None,
    )


def _failure(row: Job | JobAttempt) -> JobFailure | None:
    return JobFailure(code=row.error_code, message=row.error_message or "") if row.error_code else None


def _source(job: Job, brief: bool) -> dict[str, Any]:
    source: dict[str, Any] = job.spec["source"]
    return _without(source, "role_vars") if brief else source


def _without(part: dict[str, Any], *names: str) -> dict[str, Any]:
    """What may be long is left out."""
    return {name: value for name, value in part.items() if name not in names}


def declared_hosts(job: Job) -> int:
    """Hosts that will be played on: what the limit matched, or before that is known, what the request names."""
    if job.inventory is not None:
        return int(job.inventory["matched_count"])
    inventories = job.spec["inventory"]
    named: set[str] = set()
    for inventory in inventories if isinstance(inventories, list) else [inventories]:
        named |= {*inventory.get("hosts", [])}
        for group in inventory.get("groups", {}).values():
            named |= {*(group.get("hosts", []) if isinstance(group, dict) else group)}
    return len(named)


def host_view(row: JobHost) -> HostView:
    return HostView.model_validate(row)
