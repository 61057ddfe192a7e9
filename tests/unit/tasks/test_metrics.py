"""Files of dead processes become one, whose sum is what they counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from ansible_api.tasks import metrics

COUNTING = """
from ansible_api.telemetry import EVENTS, PHASE_SECONDS
EVENTS.inc(3)
PHASE_SECONDS.labels("source").observe(0.2)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path))
    return tmp_path


def count(folder: Path) -> None:
    """What a child of a worker does, until it ends."""
    env = os.environ | {metrics.VARIABLE: str(folder)}
    subprocess.run([sys.executable, "-c", COUNTING], env=env, check=True)


def counted(folder: Path) -> tuple[float | None, float | None, float | None]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    phases = ("ansible_api_phase_seconds_count", "ansible_api_phase_seconds_sum")
    source = {"phase": "source"}
    return (
        registry.get_sample_value("ansible_api_events_total"),
        *(registry.get_sample_value(name, source) for name in phases),
    )  # type: ignore[return-value]


def test_the_dead_are_summed_up_and_their_files_go(folder: Path) -> None:
    for _ in range(2):
        count(folder)
    before = counted(folder)
    assert before == (6, 2, pytest.approx(0.4))
    metrics.sum_up_the_dead()
    assert sorted(path.name for path in folder.iterdir()) == ["counter_ended.db", "histogram_ended.db"]
    assert counted(folder) == before
    count(folder)
    metrics.sum_up_the_dead()
    assert counted(folder) == (9, 3, pytest.approx(0.6))


def test_the_living_keep_theirs(folder: Path) -> None:
    mine = folder / f"counter_{os.getpid()}.db"
    mine.touch()
    metrics.sum_up_the_dead()
    assert mine.exists()


@pytest.mark.parametrize("size", [0, 500], ids=["empty", "cut off"])
def test_of_a_broken_file_nothing_is_added_and_it_goes(folder: Path, size: int) -> None:
    count(folder)
    metrics.sum_up_the_dead()
    count(folder)
    [broken] = folder.glob("histogram_*[0-9].db")
    os.truncate(broken, size)
    metrics.sum_up_the_dead()
    assert sorted(path.name for path in folder.iterdir()) == ["counter_ended.db", "histogram_ended.db"]
    assert counted(folder) == (6, 1, pytest.approx(0.2))
