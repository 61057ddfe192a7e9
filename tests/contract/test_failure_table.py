"""docs/reliability.md lists exactly the places at which the fault rig ends a process."""

import re
from pathlib import Path

from tests.faults import crash_points, scenarios

DOCUMENT = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()


def _first_cells(heading: str) -> list[str]:
    table = DOCUMENT.split(heading, 1)[1].split("\n\n", 1)[0]
    return [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]


def test_each_row_of_the_failure_table_is_a_crash_point_of_the_rig() -> None:
    cells = _first_cells("| where a process dies |")
    documented = re.findall(r"`([a-z-]+)`", " ".join(cells))
    assert sorted(documented) == sorted({row.point for row in crash_points.ROWS})


def test_each_scenario_of_the_rig_is_described() -> None:
    documented = re.findall(r"`([a-z]+)`", " ".join(_first_cells("| scenario | long round | short |")))
    assert documented == list(scenarios.SCENARIOS)
