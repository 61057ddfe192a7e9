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
SCENARIOS: Mapping[str, Scenario] = {  # the longest first, so that none of them is the last to begin
    "kills": kills.kill_loop,
    "soak": soak.soak,
    "redis": redis_faults.redis_faults,
    "mariadb": mariadb_faults.mariadb_faults,
    "zombie": zombie.zombie,
    "repeats": repeats.repeats,
    "cutoff": cut_off.cut_off,
    "store": store_faults.store_faults,
    "rolling": rolling.rolling_restart,
    "disk": full_disk.full_disk,
    "crashes": crash_points.crash_points,
    "poison": poison.poison,
    "disconnects": disconnects.disconnects,
    "visibility": visibility.visibility,
}
SEEDS = {"kills": 3}  # one after the other in the long round
AT_ONCE = 2  # in the long round: on two processors a third makes all three slower than their limits
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
