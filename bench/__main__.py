"""`python -m bench [NAME …] [--write]`: measure all or the named, print the table, renew docs/performance.md."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import (
    day,
    dependencies,
    events,
    footprint,
    git,
    inventory,
    latency,
    listing,
    memory,
    overhead,
    queues,
    retention,
    source,
    submissions,
    turnover,
    webhooks,
)
from bench.figures import Figure, machine, table, write

MEASUREMENTS: dict[str, Callable[[Path], list[Figure]]] = {
    "overhead": overhead.measure,
    "submissions": submissions.measure,
    "latency": latency.measure,
    "webhooks": webhooks.measure,
    "queues": queues.measure,
    "turnover": turnover.measure,
    "source": source.measure,
    "git": git.measure,
    "dependencies": dependencies.measure,
    "inventory": inventory.measure,
    "memory": memory.measure,
    "events": events.measure,
    "footprint": footprint.measure,
    "day": day.measure,
    "listing": listing.measure,
    "retention": retention.measure,
}
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> None:
    """Measure one after another, each on servers of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(MEASUREMENTS)}; all when absent")
    parser.add_argument("--write", action="store_true", help="renew the table in docs/performance.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.name) - set(MEASUREMENTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(MEASUREMENTS)}")
    if arguments.write and arguments.name:
        parser.error("--write wants all of them")
    conditions, figures = machine(), _measured(arguments.name or list(MEASUREMENTS))
    text = f"{conditions}\n\n{table(figures)}"
    print(text)
    if arguments.write:
        write(DOCUMENT, text)


def _measured(names: list[str]) -> list[Figure]:
    figures = []
    for name in names:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ansible-api-bench-") as folder:
            found = MEASUREMENTS[name](Path(folder))
        figures += found
        # At once: what was measured must not be lost with what fails after it.
        print(f"{name}: {time.monotonic() - started:.0f} s\n{table(found)}\n", flush=True)
    return figures


main()
