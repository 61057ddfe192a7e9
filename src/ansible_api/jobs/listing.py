"""SQL of lists of jobs: a page of rows without what may be long, at a cost that does not grow with the table.

One filter leads: an index has its jobs in the order of the list. What else is asked is checked row by row, of LOOKED_AT
jobs at most: a page may be short, and the next one goes on behind them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, case, func, literal, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, defer
from sqlalchemy.orm.attributes import set_committed_value

from ansible_api.db import first_id
from ansible_api.jobs.model import LONGEST_REPO, LONGEST_SEARCH_TEXT, Job, JobLabel
from ansible_api.jobs.state import TERMINAL

LOOKED_AT = 2000
# An id has the time of the API's clock, `created_at` that of the database's at the end of a submission.
CLOCKS = timedelta(seconds=60)
# The filters that may lead by the index of their column, the one that usually leaves fewest jobs first.
LEADING = ("repo", "key_id", "status", "queue")
_LONG = ("$.extra_vars", "$.source.role_vars", "$.options.env", "$.options.limit")
_HOSTS_ARE_KNOWN = Job.status.in_(TERMINAL) | Job.inventory.is_not(None)  # those that the request names count no more
_BRIEF_SPEC = case(
    (_HOSTS_ARE_KNOWN, func.json_remove(Job.spec, *_LONG, "$.inventory", type_=JSON)),
    else_=func.json_remove(Job.spec, *_LONG, "$.inventory.host_vars", "$.inventory.group_vars", type_=JSON),
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are wanted: those for which all of it is true. `labels`: pairs of name and value."""

    statuses: Sequence[str] = ()
    queue: str | None = None
    repo: str | None = None
    key_id: str | None = None
    labels: Sequence[tuple[str, ...]] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str | None = None

    def columns(self) -> list[tuple[str, list[str]]]:
        """The columns that may lead, and what is wanted of them. The first leads: one with a single value if any."""
        values = {
            "repo": [] if self.repo is None else [self.repo[:LONGEST_REPO]],
            "key_id": [] if self.key_id is None else [self.key_id],
            "status": list(dict.fromkeys(self.statuses)),
            "queue": [] if self.queue is None else [self.queue],
        }
        return sorted(
            ((column, values[column]) for column in LEADING if values[column]), key=lambda one: len(one[1]) > 1
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first; `more`: the next page has those that are older than this job, if there are any."""

    jobs: Sequence[Job]
    more: str | None


@dataclass(frozen=True, slots=True)
class _Lane:
    """Ids in order, from one index of a table: those of rows for which `where` holds."""

    table: type[Job] | type[JobLabel]
    id: InstrumentedAttribute[str]
    where: tuple[ColumnElement[bool], ...]
    index: str


def page(session: Session, team: str, wanted: Filter = Filter(), *, limit: int, before: str | None = None) -> Page:
    """The newest jobs of a team, at most `limit` of them, older than the job `before`.

    Plans and artifacts are left where they are: a page of them would be large. So are the variables of `spec`, and its
    inventory once the hosts are known: the database takes them out, because reading 100 specs of 1 MB takes seconds.
    """
    lanes, checks = _lanes(team, wanted), _checks(team, wanted)
    low, high = _bounds(wanted, before)
    last_look = _ids(lanes, LOOKED_AT, low, high).offset(LOOKED_AT - 1).limit(1)
    end = session.scalar(last_look) if checks else None
    ids = session.scalars(_ids(lanes, limit + 1, end or low, high, checks)).all()
    return Page(_rows(session, ids[:limit]), ids[limit - 1] if len(ids) > limit else end)


def found_by(spec: Mapping[str, Any]) -> dict[str, str | None]:
    """The columns that lists look into: the repository, and what a text is looked for in."""
    source, labels = spec["source"], spec["options"].get("labels", {})
    paths = source.get("path", ())
    parts = [source.get("repo"), *([paths] if isinstance(paths, str) else paths)]
    parts += [source.get("collection"), source.get("role"), *(f"{name}={value}" for name, value in labels.items())]
    text = "\n".join(part for part in parts if part).casefold()
    return {"repo": source.get("repo", "")[:LONGEST_REPO] or None, "search_text": text[:LONGEST_SEARCH_TEXT]}


def _lanes(team: str, wanted: Filter) -> list[_Lane]:
    """The lanes of the filter that leads; several statuses have one each."""
    if wanted.labels:
        name, value = wanted.labels[0]
        same = (JobLabel.team == team, JobLabel.name == name, JobLabel.value == value)
        return [_Lane(JobLabel, JobLabel.job_id, same, "PRIMARY")]
    if not (columns := wanted.columns()):
        return [_Lane(Job, Job.id, (Job.team == team,), "ix_jobs_team_id")]
    column, values = columns[0]
    ours, index = getattr(Job, column), f"ix_jobs_team_{column}_id"
    return [_Lane(Job, Job.id, (Job.team == team, ours == value), index) for value in values]


def _checks(team: str, wanted: Filter) -> list[ColumnElement[bool]]:
    """What is asked beside the filter that leads."""
    left = wanted.columns() if wanted.labels else wanted.columns()[1:]
    checks = [getattr(Job, column).in_(values) for column, values in left]
    checks += [_has_label(team, name, value) for name, value in wanted.labels[1:]]
    if wanted.created_after is not None:
        checks.append(Job.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        checks.append(Job.created_at < wanted.created_before)
    if wanted.text is not None:
        checks.append(Job.search_text.contains(wanted.text.casefold(), autoescape=True))
    return checks


def _has_label(team: str, name: str, value: str) -> ColumnElement[bool]:
    """A subquery with a limit is asked row by row; MariaDB would make a join of EXISTS and begin at its other end."""
    label = aliased(JobLabel)
    same = (label.team == team, label.name == name, label.value == value, label.job_id == Job.id)
    return select(literal(1)).where(*same).limit(1).correlate(Job).scalar_subquery().is_not(None)


def _bounds(wanted: Filter, before: str | None) -> tuple[str | None, str | None]:
    """The smallest id that is wanted, and the one that all are smaller than."""
    low = None if wanted.created_after is None else first_id("job", wanted.created_after - CLOCKS)
    highs = [] if wanted.created_before is None else [first_id("job", wanted.created_before + CLOCKS)]
    return low, min([*highs, *([] if before is None else [before])], default=None)


def _ids(
    lanes: Sequence[_Lane], limit: int, low: str | None, high: str | None, checks: Sequence[ColumnElement[bool]] = ()
) -> Select[str]:
    """The largest ids of the lanes for which the checks hold; each lane is read no further than it has to be."""
    found = [_of_lane(lane, limit, low, high, checks) for lane in lanes]
    if len(found) == 1:
        return found[0]
    merged = union_all(*(select(one.subquery().c.id) for one in found)).subquery()
    return select(merged.c.id).order_by(merged.c.id.desc()).limit(limit)


def _of_lane(
    lane: _Lane, limit: int, low: str | None, high: str | None, checks: Sequence[ColumnElement[bool]]
) -> Select[str]:
    ids = select(lane.id.label("id")).where(*lane.where, *checks).order_by(lane.id.desc()).limit(limit)
    if low is not None:
        ids = ids.where(lane.id >= low)
    if high is not None:
        ids = ids.where(lane.id < high)
    # By its statistics MariaDB may prefer other indexes, and read or sort far more.
    if checks and lane.table is JobLabel:
        ids = ids.select_from(JobLabel).join(Job, Job.id == lane.id).prefix_with("STRAIGHT_JOIN", dialect="mysql")
        ids = ids.with_hint(Job, "FORCE INDEX (PRIMARY)", "mysql")
    return ids.with_hint(lane.table, f"FORCE INDEX ({lane.index})", "mysql")


def _rows(session: Session, ids: Sequence[str]) -> Sequence[Job]:
    if not ids:
        return []
    found = (
        select(Job, _BRIEF_SPEC)
        .options(defer(Job.plan), defer(Job.artifacts), defer(Job.spec), defer(Job.search_text))
        .where(Job.id.in_(ids))
        .order_by(Job.id.desc())
    )
    rows = session.execute(found).all()
    for job, spec in rows:
        set_committed_value(job, "spec", spec)
    return [job for job, _ in rows]
