"""SQL of lists of jobs: a page of rows without what may be long."""

from collections.abc import Sequence

from sqlalchemy import JSON, case, func, select
from sqlalchemy.orm import Session, defer
from sqlalchemy.orm.attributes import set_committed_value

from ansible_api.jobs.model import Job, JobLabel
from ansible_api.jobs.state import TERMINAL

_LONG = ("$.extra_vars", "$.source.role_vars", "$.options.env", "$.options.limit")
_HOSTS_ARE_KNOWN = Job.status.in_(TERMINAL) | Job.inventory.is_not(None)  # those that the request names count no more
_BRIEF_SPEC = case(
    (_HOSTS_ARE_KNOWN, func.json_remove(Job.spec, *_LONG, "$.inventory", type_=JSON)),
    else_=func.json_remove(Job.spec, *_LONG, "$.inventory.host_vars", "$.inventory.group_vars", type_=JSON),
)


def page(
    session: Session,
    team: str,
    *,
    limit: int,
    before: str | None,
    statuses: Sequence[str] = (),
    queue: str | None = None,
    labels: Sequence[tuple[str, ...]] = (),
) -> Sequence[Job]:
    """The newest jobs of a team, `limit` of them, older than the job `before`: reads only what it returns.

    Plans and artifacts are left where they are: a page of them would be large. So are the variables of `spec`, and its
    inventory once the hosts are known: the database takes them out, because reading 100 specs of 1 MB takes seconds.
    """
    wanted = (
        select(Job, _BRIEF_SPEC)
        .options(defer(Job.plan), defer(Job.artifacts), defer(Job.spec))
        .where(Job.team == team)
        .order_by(Job.id.desc())
        .limit(limit)
    )
    if before is not None:
        wanted = wanted.where(Job.id < before)
    if statuses:
        wanted = wanted.where(Job.status.in_(statuses))
    if queue is not None:
        wanted = wanted.where(Job.queue == queue)
    for name, value in labels:
        named = select(JobLabel.job_id).where(JobLabel.team == team, JobLabel.name == name, JobLabel.value == value)
        wanted = wanted.where(Job.id.in_(named))
    rows = session.execute(wanted).all()
    for job, spec in rows:
        set_committed_value(job, "spec", spec)
    return [job for job, _ in rows]
