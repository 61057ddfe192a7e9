"""What a measurement says, the few statistics it needs, and the table of all of them."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEADINGS = ("measurement", "figure", "goal", "", "how measured")
PACKAGES = ("ansible-core", "celery", "fastapi", "sqlalchemy", "dulwich")


@dataclass(frozen=True)
class Figure:
    """One line of the table; `kept` is None where there is no goal."""

    measurement: str
    figure: str
    goal: str
    kept: bool | None
    how: str

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = {True: "kept", False: "**missed**", None: ""}[self.kept]
        return self.measurement, self.figure, self.goal, verdict, self.how


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    return percentile(values, 0.25), percentile(values, 0.75)


def machine() -> str:
    """One paragraph about where and with what was measured."""
    model = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ": unknown processor")
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    load, *_ = os.getloadavg()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with {os.cpu_count()} cores ({model.partition(': ')[2]}), "
        f"{memory / 2**20:.1f} GiB of memory, load before the start {load:.1f}; "
        f"Linux {platform.release()}, Python {platform.python_version()}, {packages}."
    )


def table(figures: Sequence[Figure]) -> str:
    """As Markdown, aligned for readers of plain text."""
    rows = [HEADINGS, *(figure.cells for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], _line(tuple("-" * width for width in [*widths, 3]), widths), *lines[1:]])


def write(path: Path, text: str) -> None:
    """Put the text between the two markers of a file."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return f"| {' | '.join([*padded, cells[-1]])} |"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
