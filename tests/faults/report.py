"""What a scenario says in the end, and the table of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEADINGS = (
    "scenario",
    "kills",
    "jobs",
    "lost",
    "double",
    "longest stuck (s)",
    "webhooks sent",
    "received",
    "duplicate ids",
    "seconds",
    "",
)


@dataclass
class Result:
    """One line of the table; `troubles` says what went against a promise."""

    scenario: str
    kills: int = 0
    jobs: int = 0
    lost: int = 0
    double: int = 0
    stuck: float = 0.0
    sent: int = 0
    received: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.troubles and not (self.lost or self.double or self.duplicates)

    def expect(self, holds: object, trouble: str) -> None:
        """Note a broken promise."""
        if not holds:
            self.troubles.append(trouble)

    def add(self, other: "Result") -> "Result":
        """Count what another round or seed found; this one, for chaining."""
        for part in fields(self):
            if part.name == "stuck":
                self.stuck = max(self.stuck, other.stuck)
            elif part.name != "scenario":
                setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))
        return self

    @property
    def cells(self) -> tuple[str, ...]:
        numbers = (self.kills, self.jobs, self.lost, self.double, f"{self.stuck:.1f}")
        webhooks = (self.sent, self.received, self.duplicates, f"{self.seconds:.0f}")
        verdict = "kept" if self.passed else "**broken**"
        return self.scenario, *map(str, numbers), *map(str, webhooks), verdict


def total(results: Sequence[Result]) -> Result:
    whole = Result("all")
    for result in results:
        whole.add(result)
    return whole


def table(results: Sequence[Result]) -> str:
    """As Markdown, aligned for readers of plain text."""
    rows = [HEADINGS, *(result.cells for result in [*results, total(results)])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], _line(["-" * max(width, 3) for width in widths], widths), *lines[1:]])


def write(path: Path, text: str) -> None:
    """Put the text between the two markers of a file."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"
