"""Metrics of a worker and all its children, which count in files of their own; those of the dead are summed up."""

import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ansible_api import processes
from ansible_api.logs import get_logger
from ansible_api.settings import Settings
from ansible_api.tasks.own_dir import METRICS, own_dir

MEMORY = Path("/dev/shm")  # noqa: S108 - in a directory of our own
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DEAD = "ended"  # in place of a pid: the sum of all that have ended
_reading = threading.Lock()  # nobody reads while a file is added to the sum
log = get_logger(__name__)


@contextmanager
def counted_in_files(settings: Settings) -> Iterator[None]:
    """Enter it before anything imports prometheus_client, which decides at import where it counts."""
    if settings.worker_port is None:
        yield
        return
    folder = own_dir(settings.state_dir) / METRICS
    _make(folder)
    os.environ[VARIABLE] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder.resolve(), ignore_errors=True)


def _make(folder: Path) -> None:
    """A directory in memory behind a link: who writes to mapped files of a full disk is killed with SIGBUS."""
    try:
        folder.symlink_to(tempfile.mkdtemp(prefix="ansible-api-metrics-", dir=MEMORY))
    except OSError:  # there is none
        folder.mkdir(mode=0o700)


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
                    _add(_values(file), file.with_name(f"{kind}_{DEAD}.db"))
                    file.unlink()


def _values(file: Path) -> Sequence[tuple[str, float, float, int]]:
    """All of it, or nothing: a process that was killed as it made the file has left it empty."""
    from prometheus_client.mmap_dict import MmapedDict

    try:
        return list(MmapedDict.read_all_values_from_file(str(file)))
    except (struct.error, RuntimeError, ValueError):
        log.warning("what a dead process counted is lost", file=file.name)
        return ()


def _add(values: Sequence[tuple[str, float, float, int]], total: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    sums = MmapedDict(str(total))
    try:
        for key, value, stamp, _ in values:
            before, _stamp = sums.read_value(key)
            sums.write_value(key, before + value, stamp)
    finally:
        sums.close()
