"""The scenarios by name, and which of them run with the tests."""

import time
import traceback
from collections.abc import Callable, Mapping

from tests.faults import (
    crash_points,
    cut_off,
    disconnects,
    full_disk,
    kills,
    mariadb_faults,
    poison,
    redis_faults,
    repeats,
    rolling,
    soak,
    store_faults,
    visibility,
    zombie,
)
from tests.faults.installation import Installation
from tests.faults.report import Result

Scenario = Callable[[Installation, bool, int], Result]
SCENARIOS: Mapping[str, Scenario] = {
    "kills": kills.kill_loop,
    "crashes": crash_points.crash_points,
    "repeats": repeats.repeats,
    "zombie": zombie.zombie,
    "redis": redis_faults.redis_faults,
    "mariadb": mariadb_faults.mariadb_faults,
    "cutoff": cut_off.cut_off,
    "visibility": visibility.visibility,
    "store": store_faults.store_faults,
    "poison": poison.poison,
    "rolling": rolling.rolling_restart,
    "disk": full_disk.full_disk,
    "disconnects": disconnects.disconnects,
    "soak": soak.soak,
}
SEEDS = {"kills": 3}  # one after the other in the long round
AT_ONCE = 3  # in the long round, on two processors: most of them wait most of the time
IN_TESTS = ("kills", "zombie")


def run(rig: Installation, name: str, *, short: bool, seed: int) -> Result:
    """One scenario; what it could not do is a trouble like others."""
    began = time.monotonic()
    try:
        result = SCENARIOS[name](rig, short, seed)
    except Exception:  # noqa: BLE001 - the other scenarios shall still be seen
        result = Result(name, troubles=[traceback.format_exc()])
    result.seconds = time.monotonic() - began
    return result
