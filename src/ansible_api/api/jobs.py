"""Jobs: submit, look, list, cancel."""

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from ansible_api.api import PREFIX, examples
from ansible_api.api.answers import answer, answer_with_etag
from ansible_api.api.body import RawBody, json_body
from ansible_api.api.deps import Parts, Service, Submitter, Viewer
from ansible_api.api.openapi import problems, request_body
from ansible_api.api.waiting import Patience, Wait, until_ended
from ansible_api.deliveries import store as deliveries
from ansible_api.deliveries.schemas import DeliveryList, delivery_list
from ansible_api.errors import FieldError, InvalidRequest
from ansible_api.jobs import listing, store
from ansible_api.jobs import service as jobs
from ansible_api.jobs.model import Job
from ansible_api.jobs.relaunch import Relaunch, relaunched
from ansible_api.jobs.schemas import HostList, JobPage, JobView, host_view
from ansible_api.jobs.service import Submission
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Status
from ansible_api.jobs.text import RepoUrl
from ansible_api.routing import JOB_QUEUES, Queue
from ansible_api.telemetry import JOBS_SUBMITTED

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])
RETRY_AFTER = {"Retry-After": "1"}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {"model": JobView, "description": "The job has ended in time, or its Idempotency-Key had made it before"},
    202: {"description": "The job waits in its queue"},
}
_JOB_ID = re.compile(r"job-[0-9a-z]{23}")

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="makes a repeated request answer with the job that the first one made",
    ),
]


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    openapi_extra=request_body(JobSpec, examples.JOBS),
    responses={**ACCEPTED, **problems(400, 401, 403, 413, 415, 422, 503)},
)
async def submit(
    request: Request,
    caller: Submitter,
    service: Service,
    raw: RawBody,
    spec: Annotated[JobSpec, Depends(json_body(JobSpec))],
    wait: Wait,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submit a job. It is kept before this answers, whatever becomes of the broker or the workers."""
    jobs.check(spec, service.settings, caller.queues)
    submission = Submission(
        team=caller.team,
        key_id=caller.key_id,
        allowed_queues=caller.queues,
        spec=spec,
        body_digests=service.cipher.digests(raw),
        idempotency_key=idempotency_key,
        trace_parent=request.state.trace_parent,
    )
    return await _submitted(request, service, submission, wait)


@router.post(
    "/{job_id}/relaunch",
    status_code=202,
    response_model=JobView,
    openapi_extra=request_body(Relaunch, examples.RELAUNCHES),
    responses={**ACCEPTED, **problems(400, 401, 403, 404, 409, 413, 415, 422, 503)},
)
async def relaunch(
    request: Request,
    caller: Submitter,
    service: Service,
    raw: RawBody,
    wish: Annotated[Relaunch, Depends(json_body(Relaunch, absent=b"{}"))],
    job_id: str,
    wait: Wait,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Run an ended job again: on all its hosts or on those that failed, from the same commit or the latest."""
    spec = await service.db.read(_relaunched, caller.team, job_id, wish)
    jobs.check(spec, service.settings, caller.queues)
    submission = Submission(
        team=caller.team,
        key_id=caller.key_id,
        allowed_queues=caller.queues,
        spec=spec,
        body_digests=service.cipher.digests(job_id.encode() + raw),
        idempotency_key=idempotency_key,
        trace_parent=request.state.trace_parent,
        relaunch_of=job_id,
    )
    return await _submitted(request, service, submission, wait)


def _relaunched(session: Session, team: str, job_id: str, wish: Relaunch) -> JobSpec:
    job = store.get_of_team(session, team, job_id)
    return relaunched(job, store.hosts(session, job_id), wish)


async def _submitted(request: Request, service: Parts, submission: Submission, wait: Patience) -> Response:
    """Write the job, tell the workers, and wait for its end as long as the caller wants to."""
    job, how, replaced = await _accepted(request, service, submission)
    is_new = how is not Accepted.BEFORE
    bind_contextvars(job_id=job.id, attempt=job.attempt, queue=job.queue)
    if is_new:
        JOBS_SUBMITTED.labels(job.queue).inc()
    if how is Accepted.PUBLISHED:
        await service.publisher.enqueue(job.id, attempt=1, queue=job.queue, priority=job.priority)
    elif how is Accepted.IN_LINE:
        service.feeder.nudge(job.queue)
    for one in replaced:
        await service.publisher.close(one)
    if wait.seconds:
        await until_ended(request, service, submission.team, job.id, wait.seconds)
        job = await _look(request, service, submission.team, job.id)
    headers = {"Location": f"{PREFIX}/jobs/{job.id}", **wait.headers}
    if is_new and not job.status.terminal:
        return answer(job, 202, headers | RETRY_AFTER)
    return answer(job, 200, headers)


class Accepted(Enum):
    """What comes next for a job that was sent."""

    BEFORE = auto()  # nothing: an earlier request with its Idempotency-Key has made it
    PUBLISHED = auto()  # the broker is told of it now
    IN_LINE = auto()


Answered = tuple[JobView, Accepted, Sequence[Job]]  # the last: jobs that were canceled in its favour


async def _accepted(request: Request, service: Parts, submission: Submission) -> Answered:
    base_url = _base_url(request, service)
    try:
        return await service.db.write(_accept, service, submission, base_url)
    except IntegrityError:
        if submission.idempotency_key is None:
            raise
        # Another request with the same key was faster: now its job is there.
        return await service.db.write(_accept, service, submission, base_url)


def _accept(session: Session, service: Parts, submission: Submission, base_url: str) -> Answered:
    made = jobs.submit(session, service.cipher, submission, service.settings)
    job, is_new = made.job, made.is_new
    url = submission.spec.options.callback_url
    if is_new and url is not None:
        deliveries.plan(session, service.cipher, team=job.team, job_id=job.id, url=url)
    how = Accepted.BEFORE if not is_new else Accepted.PUBLISHED if job.republish_at else Accepted.IN_LINE
    return jobs.views(session, [job], base_url=base_url)[0], how, made.replaced


Label = Annotated[str, StringConstraints(pattern=r"^[^=]{1,63}=.{0,255}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
# In every time zone years that databases know.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]
SearchText = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]


class JobFilter(BaseModel):
    """Which jobs to list: those for which all of it is true; unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    status: list[Status] = Field([], description="repeat it for several")
    queue: Queue | None = Field(None, description=f"one of {', '.join(JOB_QUEUES)}")
    repo: RepoUrl | None = Field(None, description="`source.repo`, as it was given")
    key: KeyId | None = Field(None, description="`key_id` of the job: the API key that submitted it")
    label: list[Label] = Field([], max_length=20, description="NAME=VALUE; repeat it for jobs that have them all")
    created_after: Moment | None = Field(None, description="not before that time, such as 2026-01-15T10:00:00Z")
    created_before: Moment | None = Field(None, description="before that time")
    text: SearchText | None = Field(
        None, description="a part of the playbook's path, of repository, collection, role, or of a label; in any case"
    )
    limit: int = Field(25, ge=1, le=100)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before")

    def of_store(self) -> listing.Filter:
        return listing.Filter(
            statuses=self.status,
            queue=self.queue,
            repo=self.repo,
            key_id=self.key,
            labels=[tuple(label.split("=", 1)) for label in self.label],
            created_after=self.created_after,
            created_before=self.created_before,
            text=self.text,
        )


@router.get("", response_model=JobPage, responses=problems(401, 403, 422, 503))
async def list_jobs(
    request: Request, caller: Viewer, service: Service, wanted: Annotated[JobFilter, Query()]
) -> Response:
    """The jobs of your team, newest first.

    One call looks at some 2,000 jobs: with `text`, times, or several filters at once, a page may have fewer than
    `limit` or none, and `next_cursor` goes on behind them. The list has ended when `next_cursor` is null.
    """
    before = _from_cursor(wanted.cursor)
    page = await service.db.read(_listed, caller.team, wanted, before, _base_url(request, service))
    if page.next_cursor is None:
        return answer(page)
    return answer(page, headers={"Link": f'<{_next(request, page.next_cursor)}>; rel="next"'})


def _listed(session: Session, team: str, wanted: JobFilter, before: str | None, base_url: str) -> JobPage:
    found = listing.page(session, team, wanted.of_store(), limit=wanted.limit, before=before)
    items = jobs.views(session, found.jobs, base_url=base_url, brief=True)
    return JobPage(items=items, next_cursor=None if found.more is None else _to_cursor(found.more))


def _next(request: Request, cursor: str) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{request.url.path}?{urlencode([*kept, ('cursor', cursor)])}"


def _to_cursor(job_id: str) -> str:
    return base64.urlsafe_b64encode(job_id.encode()).decode().rstrip("=")


def _from_cursor(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        job_id = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        job_id = ""
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidRequest(errors=[FieldError("/query/cursor", "not a cursor: take next_cursor of the page before")])
    return job_id


@router.get("/{job_id}", response_model=JobView, responses={304: {}, **problems(401, 403, 404, 422, 503)})
async def show(request: Request, caller: Viewer, service: Service, job_id: str, wait: Wait) -> Response:
    """One job; `?wait=N` answers as soon as it has ended."""
    if wait.seconds:
        await until_ended(request, service, caller.team, job_id, wait.seconds)
    shown = answer_with_etag(request, await _look(request, service, caller.team, job_id))
    shown.headers.update(wait.headers)
    return shown


@router.delete("/{job_id}", status_code=202, response_model=JobView, responses=problems(401, 403, 404, 409, 503))
@router.post("/{job_id}/cancel", status_code=202, response_model=JobView, responses=problems(401, 403, 404, 409, 503))
async def cancel(request: Request, caller: Submitter, service: Service, job_id: str) -> Response:
    """Cancel a job: one that waits ends at once, one that runs is stopped within seconds."""
    job = await service.db.write(_canceled, caller.team, job_id, _base_url(request, service))
    if job.status.terminal:
        await service.publisher.close(job)
    return answer(job, 202)


def _canceled(session: Session, team: str, job_id: str, base_url: str) -> JobView:
    return jobs.views(session, [jobs.cancel(session, team, job_id)], base_url=base_url)[0]


@router.get("/{job_id}/hosts", response_model=HostList, responses=problems(401, 403, 404, 503))
async def list_hosts(caller: Viewer, service: Service, job_id: str) -> Response:
    """Ansible's recap per host, also while the play runs."""
    return answer(await service.db.read(_hosts, caller.team, job_id))


def _hosts(session: Session, team: str, job_id: str) -> HostList:
    store.standing(session, team, job_id)
    return HostList(items=[host_view(row) for row in store.hosts(session, job_id)])


@router.get("/{job_id}/deliveries", response_model=DeliveryList, responses=problems(401, 403, 404, 503))
async def list_deliveries(caller: Viewer, service: Service, job_id: str) -> Response:
    """The webhooks of a job, with every attempt."""
    return answer(await service.db.read(_deliveries, caller.team, job_id))


def _deliveries(session: Session, team: str, job_id: str) -> DeliveryList:
    store.standing(session, team, job_id)
    return delivery_list(deliveries.list_for_job(session, job_id))


async def _look(request: Request, service: Parts, team: str, job_id: str) -> JobView:
    limits = service.settings.queue_limits
    return await service.db.read(jobs.view, team, job_id, base_url=_base_url(request, service), limits=limits)


def _base_url(request: Request, service: Parts) -> str:
    return service.settings.base_url(str(request.base_url))
