"""Scenario: two hundred jobs in flight for a long time; nothing grows."""

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result

IN_FLIGHT = 200
PLAY = 20.0  # seconds: shorter ones would leave the machine nothing for the scenario beside
GROWTH = 0.05  # over the last half
PAUSE = 5.0
Samples = dict[str, list[tuple[float, float]]]


def soak(rig: Installation, short: bool, _seed: int) -> Result:
    """Descriptors and memory of every part stay where they are."""
    result = Result("soak")
    seconds = 20.0 if short else 1200.0
    samples: Samples = defaultdict(list)
    with watching(rig) as watch:
        load = Load(rig, None, lambda _: job(rig, seconds=0.1 if short else PLAY), pause=0, in_flight=IN_FLIGHT).start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            _sample(rig, samples)
            time.sleep(PAUSE if not short else 1.0)
        load.stop()
        _cancel_what_waits(rig)
        judge(rig, result, load.accepted, watch)
    for name, values in sorted(samples.items()):
        growth = growth_of_last_half(values)
        print_growth = f"{name}: {growth:+.1%} over the last half"
        if not short:  # a short one is still warming up
            result.expect(growth < GROWTH, print_growth)
    return result


def _cancel_what_waits(rig: Installation) -> None:
    with rig.client() as client:
        for (job_id,) in rig.rows("SELECT id FROM $jobs WHERE status = 'queued'"):
            client.post(f"/api/v1/jobs/{job_id}/cancel")


def growth_of_last_half(values: Sequence[tuple[float, float]]) -> float:
    """Least squares over the last half of (time, value): how much the line rises, of where it begins."""
    half = values[len(values) // 2 :]
    if len(half) < 3:
        return 0.0
    mean_x = sum(x for x, _ in half) / len(half)
    mean_y = sum(y for _, y in half) / len(half)
    spread = sum((x - mean_x) ** 2 for x, _ in half)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in half) / spread
    first, last = half[0][0], half[-1][0]
    begin = mean_y + slope * (first - mean_x)
    return slope * (last - first) / begin if begin else 0.0


def _sample(rig: Installation, samples: Samples) -> None:
    now = time.monotonic()
    roles = {"API": [part.pid for part in rig.apis()], "worker": [part.pid for part in rig.workers()]}
    # Children come and go; a part's sum over them is what the machine sees.
    roles["children"] = [pid for part in rig.workers() for pid in part.children()]
    roles["Redis"] = [rig.redis.process.pid]
    for role, pids in roles.items():
        found = [(descriptors(pid), resident(pid)) for pid in pids]
        alive = [pair for pair in found if pair[1]]
        if alive:
            # Of the one that has most: how many of them play just now changes the mean.
            samples[f"{role}: descriptors"].append((now, max(pair[0] for pair in alive)))
            samples[f"{role}: resident bytes"].append((now, sum(pair[1] for pair in alive) / len(alive)))


def descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0
