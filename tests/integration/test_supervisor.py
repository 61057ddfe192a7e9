"""The supervisor of `up` with real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import MARK, new_mark, processes_with
from tests.waiting import wait_for

FOREVER = "exec sleep 1000"
# Ignores SIGTERM, and so does what it starts.
STUBBORN = "trap '' TERM; while :; do sleep 1000; done"
# A descendant in a session of its own, whose parent goes away.
DAEMON = "setsid sh -c 'sleep 1000 & sleep 1001 & exit' & exec sleep 1000"


class Supervised:
    """A supervisor in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mark = new_mark()
        self.output = directory / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        parts: dict[str, str],
        helpers: dict[str, str] | None = None,
        grace: float = 5,
        **backoff: float,
    ) -> None:
        """Supervise these shell scripts."""
        asked = {
            "directory": str(self.directory),
            "grace": grace,
            "backoff": {"first": 0.05, **backoff},
            "parts": parts,
            "helpers": helpers or {},
        }
        argv = [sys.executable, "-m", "tests.integration.supervised", json.dumps(asked)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                argv, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, MARK: self.mark}
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def parts(self) -> list[int]:
        """The processes that it started, and theirs."""
        assert self.process is not None
        return [pid for pid in processes_with(self.mark) if pid != self.process.pid]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self, timeout: float = 15) -> int:
        assert self.process is not None
        return self.process.wait(timeout)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    one = Supervised(tmp_path)
    yield one
    if one.process is not None:
        one.process.kill()
        one.process.wait()
    for pid in processes_with(one.mark):
        os.kill(pid, signal.SIGKILL)


def sleeps(supervised: Supervised, count: int) -> None:
    wait_for(lambda: len(supervised.parts()) >= count, message=f"{count} processes did not start")


def test_a_crashed_part_is_named_logged_and_started_again(supervised: Supervised, tmp_path: Path) -> None:
    once = f"test -e {tmp_path}/came && {FOREVER}; touch {tmp_path}/came; echo it hurts >&2; exit 7"
    supervised.start({"worker": once})
    wait_for(lambda: "starts again" in supervised.said)
    assert "worker ended with exit code 7\n    it hurts\nworker starts again in 0.05 s" in supervised.said
    wait_for(lambda: supervised.parts())
    assert (tmp_path / "worker.log").read_text() == "it hurts\n"


def test_only_the_crashed_part_is_started_again(supervised: Supervised, tmp_path: Path) -> None:
    supervised.start({"api": f"echo $$ >> {tmp_path}/api; {FOREVER}", "worker": f"echo $$ >> {tmp_path}/w; {FOREVER}"})
    wait_for(lambda: (tmp_path / "w").exists() and (tmp_path / "w").read_text().strip())
    os.kill(int((tmp_path / "w").read_text()), signal.SIGKILL)
    wait_for(lambda: len((tmp_path / "w").read_text().split()) == 2)
    assert "worker was ended by SIGKILL" in supervised.said
    assert len((tmp_path / "api").read_text().split()) == 1


def test_pauses_double_and_too_many_crashes_in_a_row_end_everything(supervised: Supervised) -> None:
    supervised.start({"redis": FOREVER, "worker": "exit 3"}, limit=3)
    assert supervised.ended() == 1
    pauses = [float(found) for found in re.findall(r"starts again in ([\d.]+) s", supervised.said)]
    assert pauses == [0.05, 0.1, 0.2]
    assert "worker ended 4 times in a row: giving up; see" in supervised.said
    assert processes_with(supervised.mark) == []


def test_a_part_that_ran_healthily_starts_counting_anew(supervised: Supervised) -> None:
    supervised.start({"worker": "sleep 0.2; exit 3"}, limit=2, healthy_after=0.1)
    wait_for(lambda: supervised.said.count("starts again in 0.05 s") >= 4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_every_process(supervised: Supervised, number: signal.Signals) -> None:
    supervised.start({"redis": FOREVER, "api": FOREVER, "worker": FOREVER})
    sleeps(supervised, 3)
    supervised.signal(number)
    assert supervised.ended() == 0
    assert supervised.said == "stopped\n"
    assert processes_with(supervised.mark) == []


def test_parts_stop_in_the_reverse_of_their_start(supervised: Supervised, tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = "trap 'echo {} >> {}; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    supervised.start({name: script.format(name, order) for name in ("redis", "api", "worker")})
    wait_for(lambda: all((tmp_path / f"{name}.log").exists() for name in ("redis", "api", "worker")))
    wait_for(lambda: all((tmp_path / f"{name}.log").read_text() for name in ("redis", "api", "worker")))
    supervised.signal(signal.SIGTERM)
    assert supervised.ended() == 0
    assert order.read_text().split() == ["worker", "api", "redis"]


def test_what_ignores_sigterm_is_killed_within_the_grace(supervised: Supervised) -> None:
    supervised.start({"redis": STUBBORN, "worker": STUBBORN}, grace=1)
    sleeps(supervised, 4)
    asked = time.monotonic()
    supervised.signal(signal.SIGTERM)
    assert supervised.ended() == 0
    assert time.monotonic() - asked < 10
    assert "worker is killed: it did not stop in time" in supervised.said
    assert processes_with(supervised.mark) == []


def test_a_second_signal_kills_at_once(supervised: Supervised) -> None:
    supervised.start({"redis": "trap 'echo asked' TERM; echo up; while :; do sleep 0.02; done"}, grace=60)
    log = supervised.directory / "redis.log"
    wait_for(lambda: log.exists() and log.read_text())
    supervised.signal(signal.SIGINT)
    wait_for(lambda: "asked" in log.read_text())
    supervised.signal(signal.SIGINT)
    assert supervised.ended(timeout=5) == 0
    assert processes_with(supervised.mark) == []


def test_descendants_that_left_their_parent_are_ended_too(supervised: Supervised) -> None:
    supervised.start({"worker": DAEMON})
    sleeps(supervised, 3)
    supervised.signal(signal.SIGTERM)
    assert supervised.ended() == 0
    assert processes_with(supervised.mark) == []


def test_a_crash_takes_the_descendants_of_the_crashed_part_along(supervised: Supervised, tmp_path: Path) -> None:
    supervised.start({"worker": f"test -e {tmp_path}/came && {FOREVER}; touch {tmp_path}/came; {DAEMON}"})
    sleeps(supervised, 3)
    before = set(supervised.parts())
    os.kill(min(before), signal.SIGKILL)
    wait_for(lambda: before.isdisjoint(supervised.parts()) and supervised.parts())


def test_sigkill_of_the_supervisor_leaves_no_process(supervised: Supervised) -> None:
    pool = "setpriv --pdeathsig KILL sleep 1000 & exec sleep 1001"  # a worker that sees to its own children
    supervised.start({"redis": FOREVER, "api": FOREVER, "worker": pool})
    sleeps(supervised, 4)
    supervised.signal(signal.SIGKILL)
    supervised.ended()
    wait_for(lambda: processes_with(supervised.mark) == [])


def test_orphans_that_end_are_buried(supervised: Supervised) -> None:
    supervised.start({"worker": "setsid sh -c 'sleep 0.1 & exit' & wait; exec sleep 1000"})
    sleeps(supervised, 2)
    wait_for(lambda: len(supervised.parts()) == 1)
    assert supervised.process is not None
    wait_for(lambda: zombies_of(supervised.process.pid) == [] if supervised.process else False)


def test_a_helper_gives_back_what_it_printed(supervised: Supervised) -> None:
    supervised.start({}, {"keys create": "echo noise >&2; echo the key"})
    wait_for(lambda: supervised.said == "the key\n\n")


def test_a_helper_that_fails_ends_the_start_with_its_last_words(supervised: Supervised) -> None:
    supervised.start({"redis": FOREVER}, {"db upgrade": "echo no such database >&2; exit 5"})
    assert supervised.ended() == 1
    assert "db upgrade: ended with exit code 5\n    no such database" in supervised.said
    assert processes_with(supervised.mark) == []


def test_a_signal_while_a_helper_runs_ends_it(supervised: Supervised) -> None:
    supervised.start({"redis": FOREVER}, {"db upgrade": STUBBORN})
    sleeps(supervised, 3)
    supervised.signal(signal.SIGTERM)
    assert supervised.ended() == 0
    assert processes_with(supervised.mark) == []


def zombies_of(parent: int) -> list[str]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in children if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"]
