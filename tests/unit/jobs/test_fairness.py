"""Who is next when several lines wait."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from ansible_api.jobs.fairness import Group, Line, Shares, Waiting, choose, foremost

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FLOOD, CALM, OTHER_KEY = Line("flood", "k1"), Line("calm", "k2"), Line("flood", "k3")
WEB = Group("calm", "web")


def line_of(line: Line, count: int, *, later: float = 0, group: Group | None = None, limit: int = 0) -> list[Waiting]:
    return [
        Waiting(f"{line.key_id}-{number}", 0, 5, line, BEGAN + timedelta(seconds=later + number), group, limit)
        for number in range(count)
    ]


def chosen(*lines: list[Waiting], room: int, **given: Any) -> list[str]:
    shares = Shares(given.get("held", {}), given.get("served", {}), given.get("weights", {}))
    return [job.id for job in choose({jobs[0].line: jobs for jobs in lines}, room, shares, given.get("in_group", {}))]


def test_one_line_is_served_in_its_order() -> None:
    assert chosen(line_of(FLOOD, 5), room=3) == ["k1-0", "k1-1", "k1-2"]


def test_a_team_that_comes_late_does_not_wait_behind_all_of_another_one() -> None:
    assert chosen(line_of(FLOOD, 100), line_of(CALM, 2, later=1000), room=4) == ["k1-0", "k2-0", "k1-1", "k2-1"]


def test_a_team_that_holds_all_slots_waits_until_the_other_has_as_many() -> None:
    assert chosen(line_of(FLOOD, 9), line_of(CALM, 9, later=1000), room=4, held={FLOOD: 3}) == [
        "k2-0",
        "k2-1",
        "k2-2",
        "k1-0",
    ]


def test_keys_of_a_team_take_turns_and_share_what_the_team_has() -> None:
    lines = line_of(FLOOD, 9), line_of(OTHER_KEY, 9, later=1000), line_of(CALM, 9, later=2000)
    assert Counter(name[:2] for name in chosen(*lines, room=8)) == {"k1": 2, "k3": 2, "k2": 4}


@pytest.mark.parametrize(("weight", "share"), [(1.0, 4), (3.0, 6), (0.35, 2)])
def test_a_weight_is_a_share(weight: float, share: int) -> None:
    lines = line_of(FLOOD, 9), line_of(CALM, 9)
    assert Counter(name[:2] for name in chosen(*lines, room=8, weights={"calm": weight}))["k2"] == share


def test_with_one_slot_teams_and_their_keys_take_turns_by_when_they_were_served() -> None:
    lines = line_of(FLOOD, 9), line_of(OTHER_KEY, 9, later=1000), line_of(CALM, 9, later=2000)
    served = {FLOOD: BEGAN, OTHER_KEY: BEGAN - timedelta(hours=1)}
    assert chosen(*lines, room=1, served=served) == ["k2-0"]
    assert chosen(*lines, room=1, served=served | {CALM: BEGAN + timedelta(hours=1)}) == ["k3-0"]


def test_a_full_group_lets_the_jobs_behind_it_pass() -> None:
    grouped = line_of(CALM, 3, group=WEB, limit=1)
    assert chosen([*grouped, *line_of(CALM, 1, later=50)], room=9) == ["k2-0", "k2-0"]
    assert chosen(grouped, room=9, in_group={WEB: 1}) == []


def test_nobody_waits_or_there_is_no_room() -> None:
    assert chosen(room=5) == []
    assert chosen(line_of(FLOOD, 5), room=0) == []


def test_foremost_are_the_lines_of_each_team_that_hold_least_and_came_first() -> None:
    first = {Line("flood", f"k{number}"): BEGAN + timedelta(seconds=number) for number in range(9)}
    first |= {Line("calm", "c"): BEGAN + timedelta(days=1)}
    held = {Line("flood", "k0"): 1, Line("flood", "k2"): 3}
    assert foremost(first, 2, Shares(held, {})) == [Line("flood", "k1"), Line("flood", "k3"), Line("calm", "c")]


def test_who_looks_at_the_foremost_alone_chooses_as_who_looks_at_all() -> None:
    chance = Random(1)
    for _ in range(200):
        lines = {
            Line(f"t{chance.randrange(3)}", f"k{number}"): chance.sample(range(1000), chance.randrange(1, 4))
            for number in range(8)
        }
        jobs = {line: line_of(line, len(turns), later=min(turns)) for line, turns in lines.items()}
        held = {line: chance.randrange(3) for line in lines}
        room = chance.randrange(1, 6)
        served = {line: BEGAN + timedelta(seconds=chance.randrange(5)) for line in lines if chance.random() < 0.5}
        some, all_of_them = Shares(held, served, {"t1": 2.0}), Shares(held, served, {"t1": 2.0})
        best = foremost({line: waiting[0].turn_at for line, waiting in jobs.items()}, room, some)
        assert choose({line: jobs[line] for line in best}, room, some, {}) == choose(jobs, room, all_of_them, {})
