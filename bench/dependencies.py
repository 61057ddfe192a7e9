"""What a job waits for its collections, as a ratio to plain `ansible-galaxy collection install`."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration.execution.asking import Job
from tests.servers.galaxy import GalaxyServer, galaxy_server, pack_installed

from ansible_api.egress import Policy
from ansible_api.execution.preparation import ExecutionConfig
from bench.figures import Figure, median

COLLECTIONS = {"ansible.posix": 5, "community.general": 3}  # repetitions: small, large
COLD, WARM = 1.2, 0.3


def measure(folder: Path) -> list[Figure]:
    with galaxy_server() as server:
        for name in COLLECTIONS:
            server.add(pack_installed(name))
        figures: list[Figure] = []
        for name, repetitions in COLLECTIONS.items():
            figures += _one(folder / name, server, name, repetitions)
        return figures


def _one(folder: Path, server: GalaxyServer, name: str, repetitions: int) -> Iterator[Figure]:
    config = ExecutionConfig(folder / "work", folder / "git", egress=Policy(allow_loopback=True))
    plain, cold, warm = [], [], []
    _timed(lambda: _plainly(folder / "plain", server, name))  # bytecode
    for _ in range(repetitions):  # in turn: whatever else the machine does meets them all
        shutil.rmtree(folder / "galaxy", ignore_errors=True)
        plain.append(_timed(lambda: _plainly(folder / "plain", server, name)))
        cold.append(_timed(lambda: _asked(config, server, name)))
        warm.append(_timed(lambda: _asked(config, server, name)))
    for kind, times, goal in (("cold", cold, COLD), ("warm", warm, WARM)):
        ratio = median(times) / median(plain)
        figure = f"{ratio:.2f} ({median(times):.2f} s to {median(plain):.2f} s)"
        how = f"median of {repetitions}; both in turn"
        yield Figure(f"{name}, {kind}: to the plain command", figure, f"≤ {goal}", ratio <= goal, how)


def _asked(config: ExecutionConfig, server: GalaxyServer, name: str) -> None:
    job = Job(config, server)
    job.secrets = type(job.secrets)()
    job.prepare(name)


def _plainly(folder: Path, server: GalaxyServer, name: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    argv = [str(Path(sys.executable).with_name("ansible-galaxy")), "collection", "install", name, "-s", server.url]
    environment = {"PATH": os.environ["PATH"], "ANSIBLE_HOME": str(folder / "home"), "HOME": str(folder)}
    environment["ANSIBLE_COLLECTIONS_SCAN_SYS_PATH"] = "false"
    folder.mkdir(parents=True)
    subprocess.run([*argv, "-p", str(folder / "c")], env=environment, check=True, capture_output=True)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
