"""A simulated day of a million jobs: how many slots it wants, and which part ends first; the model is in scaling.md."""

import heapq
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_api.routing import Queue
from bench.figures import Figure, percentile
from bench.footprint import Footprint, footprint
from bench.turnover import LARGE, SLOTS, SMALL, Turnover, turnover

JOBS = 1_000_000
# Shares of the day by hour: nights with a tenth of the office hours' rush.
HOURS = (1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 10, 8, 10, 11, 10, 9, 7, 4, 3, 2, 2, 1, 1)
SHARE, LIMIT = 0.99, 30.0  # of the jobs start within so many seconds
UPKEEP = 5.0  # seconds between two rounds of a worker
CORES = {"mariadb": 16.0, "redis": 1.0}  # that a server of its own can use


@dataclass(frozen=True)
class Pool:
    """A workload: its part of all jobs, and how long they run."""

    queue: Queue
    share: float
    median: float  # seconds
    sigma: float  # of the logarithm

    @property
    def mean(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)


POOLS = (
    Pool(Queue.DEFAULT, 0.84, 30, 0.9),
    Pool(Queue.GIT_HEAVY, 0.10, 60, 0.9),
    Pool(Queue.DYNAMIC_INVENTORY, 0.05, 60, 0.9),
    Pool(Queue.LONG_RUNNING, 0.01, 3600, 0.6),
)


@dataclass(frozen=True)
class Load:
    """The busiest moment of a day, and its constants."""

    arrivals: float  # a second
    running: float
    workers: float
    cost: Footprint
    small: Turnover
    large: Turnover

    def of(self, part: str, factor: float = 1.0) -> dict[str, float]:
        """Cores that a part uses at so many times this load, by what for."""
        arrivals, running = factor * self.arrivals, factor * self.running
        job = self.cost.job[part]
        if part == "mariadb":  # choosing who is next reads what runs and who serves
            job += (self.large.mariadb - self.small.mariadb) / 1000 * running / (LARGE.others * SLOTS)
        return {
            "jobs": arrivals * job,
            "plays": running * self.cost.playing[part],
            "upkeep": factor * self.workers / UPKEEP * self.cost.upkeep[part],
        }

    def limit(self, part: str) -> float:
        """How many times this load the part can bear."""
        low, high = 0.0, 1000.0
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (middle, high) if sum(self.of(part, middle).values()) <= CORES[part] else (low, middle)
        return low


def measure(folder: Path) -> list[Figure]:
    slots, busiest = {}, 0.0
    for pool in POOLS:
        slots[pool.queue] = _slots_wanted(pool)
        busiest += _busy(pool, slots[pool.queue])
    workers = sum(slots.values()) / SLOTS
    arrivals = JOBS * max(HOURS) / sum(HOURS) / 3600
    constants = footprint(folder / "footprint"), turnover(folder / "small", SMALL), turnover(folder / "large", LARGE)
    load = Load(arrivals, busiest, workers, *constants)
    return [_pools(slots), *(_part(part, load) for part in CORES), _processes(load), _space(load), _first(load)]


def arrivals(pool: Pool, chance: random.Random) -> Iterator[tuple[float, float]]:
    """When each job of a day comes, and for how long it runs."""
    for hour, weight in enumerate(HOURS):
        rate = JOBS * pool.share * weight / sum(HOURS) / 3600
        moment = hour * 3600 + chance.expovariate(rate)
        while moment < (hour + 1) * 3600:
            yield moment, chance.lognormvariate(math.log(pool.median), pool.sigma)
            moment += chance.expovariate(rate)


def waits(pool: Pool, slots: int) -> list[float]:
    """Seconds that each job of a day waits for one of these slots."""
    free, seen = [0.0] * slots, []
    for moment, seconds in arrivals(pool, random.Random(1)):
        begin = max(moment, free[0])
        heapq.heapreplace(free, begin + seconds)
        seen.append(begin - moment)
    return seen


def _slots_wanted(pool: Pool) -> int:
    """The fewest that keep the objective, to a hundredth."""
    high = math.ceil(1.3 * JOBS * pool.share * max(HOURS) / sum(HOURS) / 3600 * pool.mean) + 10
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if percentile(waits(pool, middle), SHARE) <= LIMIT else (middle, high)
    return high


def _busy(pool: Pool, slots: int) -> float:
    """How many jobs run in the busiest hour."""
    return min(slots, JOBS * pool.share * max(HOURS) / sum(HOURS) / 3600 * pool.mean)


def _pools(slots: dict[Queue, int]) -> Figure:
    each = ", ".join(f"{queue} {number:,}" for queue, number in slots.items())
    how = f"{100 * SHARE:.0f} % start within {LIMIT:.0f} s: {each}; simulated, see scaling.md"
    return Figure("a day of a million jobs: slots", f"{sum(slots.values()):,}", "", None, how)


def _part(part: str, load: Load) -> Figure:
    used = load.of(part)
    how = "busiest hour; " + ", ".join(f"{what} {cores:.2f}" for what, cores in used.items())
    return Figure(f"the same day: {part}", f"{sum(used.values()):.2f} cores", "", None, how)


def _processes(load: Load) -> Figure:
    used = Counter({part: sum(load.of(part).values()) for part in ("api", "worker")})
    how = f"busiest hour: {load.arrivals:.0f} jobs/s, {load.running:,.0f} run on {load.workers:,.0f} workers of {SLOTS}"
    told = f"API {used['api']:.2f}, workers without Ansible {used['worker']:.1f} cores"
    return Figure("the same day: API and workers", told, "", None, how)


def _space(load: Load) -> Figure:
    redis, objects = 3600 * load.arrivals * load.cost.redis_bytes, JOBS * load.cost.object_bytes
    told = f"Redis {redis / 2**30:.1f} GiB, objects {objects / 2**30:.1f} GiB a day"
    return Figure("the same day: space", told, "", None, "of one-task plays; longer logs are longer")


def _first(load: Load) -> Figure:
    limits = {part: load.limit(part) for part in CORES}
    first = min(limits, key=lambda part: limits[part])
    how = ", ".join(f"{part} with {CORES[part]:.0f} cores at {limits[part]:.1f}" for part in limits)
    told = f"{first} at {limits[first]:.1f} such days a day"
    return Figure("the same day: the first limit", told, "≥ 1", limits[first] >= 1, how)
