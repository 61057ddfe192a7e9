"""Metrics of a worker and all its children, which count in files of their own; those of the dead are summed up."""

import os
import threading
from pathlib import Path

from ansible_api import processes
from ansible_api.settings import Settings
from ansible_api.tasks.own_dir import METRICS, own_dir

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DEAD = "ended"  # in place of a pid: the sum of all that have ended
_reading = threading.Lock()  # nobody reads while a file is added to the sum


def count_in_files(settings: Settings) -> None:
    """Call it before anything imports prometheus_client, which decides at import where it counts."""
    if settings.worker_port is not None:
        folder = own_dir(settings.state_dir) / METRICS
        folder.mkdir(mode=0o700)
        os.environ[VARIABLE] = str(folder)


def as_text() -> bytes:
    """What Prometheus reads: the sum over this process, its children, and those that were."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    if (path := os.environ.get(VARIABLE)) is None:
        return generate_latest()
    MultiProcessCollector(registry, path)
    with _reading:
        return generate_latest(registry)


def sum_up_the_dead() -> None:
    """Children are replaced all the time: their files become one. No child may begin meanwhile."""
    if path := os.environ.get(VARIABLE):
        for file in Path(path).glob("*.db"):
            kind, _, pid = file.stem.rpartition("_")
            if pid.isdecimal() and not processes.send(int(pid), 0):
                with _reading:
                    _add(file, file.with_name(f"{kind}_{DEAD}.db"))
                    file.unlink()


def _add(file: Path, total: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    sums = MmapedDict(str(total))
    try:
        for key, value, stamp, _ in MmapedDict.read_all_values_from_file(str(file)):
            before, _stamp = sums.read_value(key)
            sums.write_value(key, before + value, stamp)
    finally:
        sums.close()
