"""Who is next: lines of jobs take turns, so that none waits for all of another one's. A pure function."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from typing import NamedTuple

NEVER = datetime.min.replace(tzinfo=UTC)
TICK = timedelta(microseconds=1)


class Line(NamedTuple):
    """Jobs of one API key stand in one line."""

    team: str
    key_id: str


class Group(NamedTuple):
    """Jobs of which only so many may run at once."""

    team: str
    name: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that may begin as soon as it is its turn."""

    id: str
    attempt: int  # attempts that it has had
    priority: int
    line: Line
    turn_at: datetime
    group: Group | None = None
    limit: int = 0  # of its group


class Shares:
    """What each line has, and had last."""

    def __init__(
        self, held: Mapping[Line, int], served: Mapping[Line, datetime], weights: Mapping[str, float] | None = None
    ) -> None:
        """`held` counts the slots of each line now, `served` says when it last got one; `weights` are of teams."""
        self._held, self._served, self._weights = Counter(held), dict(served), weights or {}
        self._of_team, self._team_served = Counter[str](), dict[str, datetime]()
        for line, number in held.items():
            self._of_team[line.team] += number
        for line, moment in served.items():
            self._note_team(line.team, moment)
        self._latest = max(served.values(), default=NEVER)

    def of_line(self, line: Line) -> tuple[int, datetime]:
        """Among the lines of a team the least comes first."""
        return self._held[line], self._served.get(line, NEVER)

    def of_team(self, team: str) -> tuple[float, datetime]:
        """Among teams the least comes first."""
        return self._of_team[team] / self._weights.get(team, 1.0), self._team_served.get(team, NEVER)

    def give(self, line: Line) -> None:
        """It gets a slot, after all others that got one."""
        self._held[line] += 1
        self._of_team[line.team] += 1
        self._latest += TICK
        self._served[line] = self._latest
        self._note_team(line.team, self._latest)

    def _note_team(self, team: str, moment: datetime) -> None:
        self._team_served[team] = max(moment, self._team_served.get(team, NEVER))


def foremost(lines: Mapping[Line, datetime], number: int, shares: Shares) -> list[Line]:
    """The lines that have a chance of being among the next `number` that are served, by the turns of their first jobs.

    Of each team those that have least: no more of one team can be next, whatever other teams have.
    """
    of_team: dict[str, list[Line]] = {}
    for line in lines:
        of_team.setdefault(line.team, []).append(line)
    best = (nsmallest(number, some, key=lambda line: (shares.of_line(line), lines[line])) for some in of_team.values())
    return [line for some in best for line in some]


def choose(
    lines: Mapping[Line, Sequence[Waiting]], room: int, shares: Shares, in_group: Mapping[Group, int]
) -> list[Waiting]:
    """The next `room` jobs of lines that are in order; `shares` has them afterwards.

    Next is the team that holds the fewest slots for its weight, among equals the one that was served longest ago, of
    that the key likewise, then whose turn came first. A job whose group is full lets those behind it pass; `in_group`
    counts what runs, or is about to.
    """
    left = {line: list(jobs) for line, jobs in lines.items()}
    groups = Counter(in_group)
    chosen: list[Waiting] = []
    while len(chosen) < room:
        heads = [head for jobs in left.values() if (head := _head(jobs, groups)) is not None]
        if not heads:
            break
        job = min(heads, key=lambda job: (shares.of_team(job.line.team), shares.of_line(job.line), job.turn_at))
        left[job.line].remove(job)
        chosen.append(job)
        shares.give(job.line)
        if job.group is not None:
            groups[job.group] += 1
    return chosen


def _head(jobs: Sequence[Waiting], groups: Mapping[Group, int]) -> Waiting | None:
    """The first job of a line whose group has room."""
    return next((job for job in jobs if job.group is None or groups.get(job.group, 0) < job.limit), None)
