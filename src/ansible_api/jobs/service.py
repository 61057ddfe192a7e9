"""What callers may do with jobs: submit, look and cancel."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from sqlalchemy.orm import Session

from ansible_api import git_address
from ansible_api.credentials.cipher import Cipher
from ansible_api.db import new_id
from ansible_api.egress import EgressDenied, Policy, check_url
from ansible_api.egress.policy import check_host
from ansible_api.errors import Conflict, FieldError, IdempotencyMismatch, InvalidRequest, Unavailable
from ansible_api.jobs import attempts, groups, line, repositories, secrets, store
from ansible_api.jobs.fairness import Group
from ansible_api.jobs.model import IdempotencyKey, Job
from ansible_api.jobs.schemas import JobView, job_view
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Status
from ansible_api.jobs.text import repo_scheme
from ansible_api.jobs.why_waiting import why_waiting
from ansible_api.routing import Route, route
from ansible_api.settings import QueueLimits, Settings

CANCEL_TRIES = 5
REPLACED_AT_ONCE = 500  # by one submission, which holds the group's lock meanwhile


@dataclass(frozen=True, slots=True)
class Submission:
    """A valid request with its caller."""

    team: str
    key_id: str
    allowed_queues: tuple[str, ...] | None
    spec: JobSpec
    body_digests: tuple[str, ...]  # of `Cipher.digests`: a body may hold secret values
    idempotency_key: str | None = None
    trace_parent: str | None = None
    relaunch_of: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a submission has led to."""

    job: Job
    is_new: bool  # False: its Idempotency-Key had made it before
    replaced: Sequence[Job] = ()  # canceled in its favour, and to be closed: of them `id` and `attempt` are there


def check(spec: JobSpec, settings: Settings, allowed_queues: tuple[str, ...] | None) -> None:
    """Refuse what this installation does not run; needs no database."""
    errors = [
        *repo_errors(((f"{pointer}/repo", location.repo) for pointer, location in spec.git_locations()), settings),
        *_url_errors(spec, settings),
        *secrets.inline_errors(spec, Policy.of(settings)),
        *_option_errors(spec, settings, allowed_queues),
    ]
    if errors:
        raise InvalidRequest(errors=errors)


def submit(session: Session, cipher: Cipher, submission: Submission, settings: Settings) -> Submitted:
    """Write the job, or find the one that its Idempotency-Key has made."""
    if (known := _known(session, submission)) is not None:
        return Submitted(known, is_new=False)
    if errors := secrets.errors(session, submission.team, submission.spec):
        raise InvalidRequest(errors=errors)
    replaced = _make_way(session, submission)
    job = _insert(session, submission, settings)
    secrets.keep(session, cipher, submission.team, job.id, submission.spec)
    store.add_labels(session, job, submission.spec.options.labels)
    if submission.idempotency_key is not None:
        session.add(
            IdempotencyKey(
                team=submission.team,
                key=submission.idempotency_key,
                body_sha256=submission.body_digests[0],
                job_id=job.id,
            )
        )
        session.flush()
    return Submitted(job, is_new=True, replaced=replaced)


def cancel(session: Session, team: str, job_id: str) -> Job:
    """End a job that waits, ask a running one to stop; asking twice is asking once, a finished job is a Conflict."""
    for _ in range(CANCEL_TRIES):  # a job that begins, or is handed back, between the two statements escapes both
        if store.cancel_queued(session, team, job_id) or store.request_cancel(session, team, job_id):
            return store.get_of_team(session, team, job_id)
        if store.standing(session, team, job_id).status.terminal:
            break
    else:
        raise Unavailable("the job begins and is handed back all the time; try again", headers={"Retry-After": "1"})
    job = store.get_of_team(session, team, job_id)
    if job.status != Status.CANCELED:
        raise Conflict(f"the job has already ended: {job.status}")
    return job


def view(
    session: Session, team: str, job_id: str, *, base_url: str = "", limits: Mapping[str, QueueLimits] | None = None
) -> JobView:
    """A job with its whole story as its team sees it; NotFound when it is absent or another team's.

    `limits` are those of single queues, as the settings have them.
    """
    job = store.get_of_team(session, team, job_id)
    of_queue = (limits or {}).get(job.queue, QueueLimits())
    totals = store.host_totals(session, [job_id]).get(job_id, (0, 0, 0))
    return job_view(
        job,
        totals,
        attempts=attempts.of_job(session, job_id),
        why_waiting=why_waiting(session, job, max_running=of_queue.max_running),
        base_url=base_url,
    )


def views(session: Session, jobs: Sequence[Job], *, base_url: str = "", brief: bool = False) -> list[JobView]:
    """Jobs as callers see them, with the totals of their hosts read at once; a list is brief."""
    totals = store.host_totals(session, [job.id for job in jobs if job.play_started_at is not None])
    return [job_view(job, totals.get(job.id, (0, 0, 0)), base_url=base_url, brief=brief) for job in jobs]


def _known(session: Session, submission: Submission) -> Job | None:
    if submission.idempotency_key is None:
        return None
    known = store.by_idempotency_key(session, submission.team, submission.idempotency_key)
    if known is None:
        return None
    if known.body_sha256 not in submission.body_digests:
        raise IdempotencyMismatch
    return store.get_of_team(session, submission.team, known.job_id)


def _insert(session: Session, submission: Submission, settings: Settings) -> Job:
    spec = submission.spec
    where = _route(session, spec, settings)
    concurrency, limits = spec.options.concurrency, settings.queue_limits.get(where.queue, QueueLimits())
    counted = concurrency is not None or limits.max_running is not None
    goes_ahead = not counted and line.goes_ahead(session, where.queue)
    return store.insert_job(
        session,
        id=new_id("job"),
        team=submission.team,
        key_id=submission.key_id,
        spec=spec.as_json(),
        queue=where.queue,
        priority=where.priority,
        route_reason=where.reason,
        trace_parent=submission.trace_parent,
        relaunch_of=submission.relaunch_of,
        concurrency_group=concurrency and concurrency.group,
        concurrency_limit=concurrency and concurrency.limit,
        urgency=where.priority * settings.priority_step,
        republish_after=settings.republish_after if goes_ahead else None,
    )


def _route(session: Session, spec: JobSpec, settings: Settings) -> Route:
    slowest = repositories.slowest(session, {location.repo for _, location in spec.git_locations()})
    where = route(
        spec.workload(settings.default_timeout, slowest),
        long_running_after=settings.long_running_after,
        git_heavy_after=settings.git_heavy_after,
    )
    longest = settings.queue_limits.get(where.queue, QueueLimits()).max_timeout
    if longest is not None and (spec.options.timeout or settings.default_timeout) > longest:
        detail = f"jobs of the queue {where.queue} take {longest} s at most ({where.reason}): give a shorter one"
        raise InvalidRequest(errors=[FieldError("/options/timeout", detail)])
    return where


def _make_way(session: Session, submission: Submission) -> Sequence[Job]:
    """Do what the job asks for when its concurrency group is full, and return the jobs that ended by that; Conflict
    when it would rather be refused.
    """
    wish = submission.spec.options.concurrency
    if wish is None or wish.on_conflict == "queue":
        return ()
    team, group = submission.team, Group(submission.team, wish.group)
    groups.lock(session, group)
    taken = groups.size(session, group, Status.QUEUED, Status.RUNNING)
    if taken < wish.limit:
        return ()
    match wish.on_conflict:
        case "reject":
            raise Conflict(f"/options/concurrency: {taken} jobs of the group {wish.group} wait or run; send it later")
        case "cancel_running":  # those asked before make room for the jobs that wait
            running = groups.longest_running(session, group)
            before = len(running) + groups.size(session, group, Status.QUEUED)
            for job_id in running[: max(0, before - wish.limit + 1)]:
                store.request_cancel(session, team, job_id)
            return ()
        case "replace_queued":
            waiting = groups.waiting(session, group, REPLACED_AT_ONCE)
            return [job for job in waiting if store.cancel_queued(session, team, job.id)]
        case _:
            assert_never(wish.on_conflict)


def repo_errors(repos: Iterable[tuple[str, str]], settings: Settings) -> list[FieldError]:
    """What is wrong with repositories at these pointers, by the installation's rules."""
    errors = []
    for pointer, repo in repos:
        scheme = repo_scheme(repo)
        allowed = sorted(settings.repo_schemes | ({"file"} if settings.allow_local_repos else set()))
        if scheme not in allowed:
            errors.append(FieldError(pointer, f"{scheme} is not allowed here: use {', '.join(allowed)}"))
        elif scheme != "file" and (detail := _server_trouble(repo, settings)):
            errors.append(FieldError(pointer, detail))
    return errors


def _server_trouble(repo: str, settings: Settings) -> str | None:
    """Why a git server cannot be reached, as far as its address tells without DNS."""
    try:
        check_host(git_address.parse(repo).host, Policy.of(settings))
    except EgressDenied as error:
        return error.detail
    except ValueError:
        return "the host or the port of the address is not one"
    return None


def _option_errors(spec: JobSpec, settings: Settings, allowed_queues: tuple[str, ...] | None) -> list[FieldError]:
    errors = []
    for pointer, size in spec.variable_sizes().items():
        if size > settings.extra_vars_limit:
            errors.append(FieldError(pointer, f"{size} bytes as JSON; at most {settings.extra_vars_limit}"))
    queue = spec.options.queue
    if queue is not None and queue not in (allowed_queues or ()):
        errors.append(
            FieldError("/options/queue", f"this API key may not choose {queue}: leave it out or ask an admin")
        )
    return errors


def _url_errors(spec: JobSpec, settings: Settings) -> list[FieldError]:
    """Addresses that the service itself would have to reach, and may not."""
    errors = []
    for pointer, url in spec.urls():
        try:
            check_url(url, Policy.of(settings))
        except InvalidRequest as error:
            errors.append(FieldError(pointer, error.detail))
    return errors
