"""What the service adds to a play: submit → ended through `POST ?wait`, over bare `ansible-playbook` of the same."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from tests.acceptance.repos import HELLO, make_repo
from tests.acceptance.service import local_job

from ansible_api.execution.inventory import write_inline
from ansible_api.jobs.inventories import InlineInventory
from bench.figures import Figure, median, quartiles
from bench.installations import clean_environment, embedded, on_servers, run, wait_until_closed

WARM_UP, REPETITIONS = 3, 21
GOAL = 1.3


def measure(folder: Path) -> list[Figure]:
    repo = make_repo(folder / "repo", {"site.yml": HELLO})
    request = local_job(repo)
    bare = _bare(folder, repo, request)
    with ExitStack() as stack:
        up = stack.enter_context(embedded(folder / "up"))
        servers = stack.enter_context(on_servers(folder / "servers"))
        servers.service.start_api()
        servers.start_workers()
        services = {place.name: stack.enter_context(place.client()) for place in (up, servers.installation)}
        times = _interleaved(bare, services, request)
    own = times.pop("bare")
    return [_figure(name, own, values) for name, values in times.items()]


def _bare(folder: Path, repo: Path, request: dict[str, Any]) -> Callable[[], None]:
    (folder / "inventory").mkdir()
    (folder / "home").mkdir()
    inventory = write_inline(InlineInventory.model_validate(request["inventory"]), folder / "inventory")
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), "--inventory", str(inventory), "site.yml"]
    environment = clean_environment(folder / "home")
    return lambda: subprocess.run(argv, cwd=repo, env=environment, check=True, capture_output=True) and None


def _interleaved(
    bare: Callable[[], None], services: dict[str, httpx.Client], request: dict[str, Any]
) -> dict[str, list[float]]:
    """Bare, the first service, bare, the second, and again: what drifts on the machine meets all."""
    times: dict[str, list[float]] = {"bare": [], **{name: [] for name in services}}
    for turn in range(WARM_UP + REPETITIONS):
        for name, client in services.items():
            seconds = {"bare": _timed(bare), name: _timed_job(client, request)}
            if turn >= WARM_UP:
                for what, value in seconds.items():
                    times[what].append(value)
    return times


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _timed_job(client: httpx.Client, request: dict[str, Any]) -> float:
    started = time.perf_counter()
    job = run(client, request)
    seconds = time.perf_counter() - started
    wait_until_closed(client, job)
    return seconds


def _figure(name: str, bare: list[float], service: list[float]) -> Figure:
    ratio = median(service) / median(bare)
    spreads = [f"{low:.2f}–{high:.2f} s" for low, high in (quartiles(bare), quartiles(service))]
    runs = f"{len(service)} and {len(bare)} runs, interleaved"
    how = (
        f"medians {median(service):.3f} s and {median(bare):.3f} s of {runs}; "
        f"the middle half {spreads[1]} and {spreads[0]}"
    )
    return Figure(f"one-task play ÷ bare ansible-playbook, {name}", f"{ratio:.2f}", f"≤ {GOAL}", ratio <= GOAL, how)
