"""Who is next: lines of jobs take turns, so that none waits for all of another one's. A pure function."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from typing import NamedTuple


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


def foremost(lines: Mapping[Line, datetime], number: int, *, held: Mapping[Line, int]) -> list[Line]:
    """The lines that have a chance of being among the next `number` that are served, by the turns of their first jobs.

    Of each team those that hold the fewest slots: no more of one team can be next, whatever other teams hold.
    """
    of_team: dict[str, list[Line]] = {}
    for line in lines:
        of_team.setdefault(line.team, []).append(line)
    best = (nsmallest(number, some, key=lambda line: (held.get(line, 0), lines[line])) for some in of_team.values())
    return [line for some in best for line in some]


def choose(
    lines: Mapping[Line, Sequence[Waiting]],
    room: int,
    *,
    held: Mapping[Line, int],
    in_group: Mapping[Group, int],
    weights: Mapping[str, float],
) -> list[Waiting]:
    """The next `room` jobs of lines that are in order.

    Next is the team that holds the fewest slots for its weight, of that the key that holds the fewest, then whose turn
    came first. A job whose group is full lets those behind it pass. `held` and `in_group` count what runs, or is about
    to.
    """
    left = {line: list(jobs) for line, jobs in lines.items()}
    keys, groups = Counter(held), Counter(in_group)
    teams: Counter[str] = Counter()
    for line, number in held.items():
        teams[line.team] += number
    chosen: list[Waiting] = []
    while len(chosen) < room:
        heads = [head for jobs in left.values() if (head := _head(jobs, groups)) is not None]
        if not heads:
            break
        job = min(
            heads, key=lambda job: (teams[job.line.team] / weights.get(job.line.team, 1.0), keys[job.line], job.turn_at)
        )
        left[job.line].remove(job)
        chosen.append(job)
        teams[job.line.team] += 1
        keys[job.line] += 1
        if job.group is not None:
            groups[job.group] += 1
    return chosen


def _head(jobs: Sequence[Waiting], groups: Mapping[Group, int]) -> Waiting | None:
    """The first job of a line whose group has room."""
    return next((job for job in jobs if job.group is None or groups.get(job.group, 0) < job.limit), None)
