"""The oracle can fail: what breaks a promise is seen."""

import json
import os
import subprocess
import sys
import threading
import time
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_api.execution.workspace import MARKER
from tests.faults import crashing, oracle
from tests.faults.ledger import Ledger
from tests.faults.report import Result
from tests.faults.soak import growth_of_last_half
from tests.servers.webhook_sink import Received
from tests.waiting import wait_for

DONE = {"status": "successful", "attempt": 1}


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    kept = Ledger(tmp_path / "ledger")
    yield kept
    kept.close()


def _doubles(ledger: Ledger, job: str, **options: str) -> Result:
    result = Result("")
    oracle.played_at_most_once(SimpleNamespace(ledger=ledger), result, {job: {"options": options}}, {job: DONE})  # type: ignore[arg-type]
    return result


@pytest.mark.parametrize(
    ("notes", "options", "doubles"),
    [
        (["1 start", "1 end"], {}, 0),
        (["1 start", "1 start", "1 end"], {}, 1),
        (["1 start", "2 start", "2 end"], {}, 1),
        (["1 start", "2 start", "2 end"], {"on_worker_loss": "rerun"}, 0),
        (["1 start", "2 start", "2 start", "2 end"], {"on_worker_loss": "rerun"}, 1),
    ],
)
def test_a_play_that_starts_again_is_double_unless_it_may(
    ledger: Ledger, notes: list[str], options: dict[str, str], doubles: int
) -> None:
    for note in notes:
        ledger.keep(f"job-a.{note}")
    assert _doubles(ledger, "job-a", **options).double == doubles


def test_an_attempt_that_starts_while_the_one_before_lives_is_double(ledger: Ledger) -> None:
    job = f"job-{os.getpid()}"
    with subprocess.Popen(["sleep", "60"], env=os.environ | {MARKER: f"{job}.1"}) as earlier:
        ledger.keep(f"{job}.1 start")
        wait_for(lambda: Path(f"/proc/{earlier.pid}/cmdline").read_bytes().startswith(b"sleep"))
        ledger.keep(f"{job}.2 start")
        earlier.kill()
    assert ledger.of(job, "start")[1].survivors == (earlier.pid,)
    assert _doubles(ledger, job, on_worker_loss="rerun").double == 1


def test_a_success_without_the_end_of_its_play_is_seen(ledger: Ledger) -> None:
    ledger.keep("job-a.1 start")
    assert "never ended" in _doubles(ledger, "job-a").troubles[0]


def test_a_second_webhook_id_and_a_missing_webhook_are_seen() -> None:
    def received(webhook_id: str) -> Received:
        headers = Message()
        headers["webhook-id"] = webhook_id
        return Received("POST", "/", headers, json.dumps({"id": "job-a", "status": "successful"}).encode(), time.time())

    sink = SimpleNamespace(requests=[received("msg-1"), received("msg-1"), received("msg-2")])
    result = Result("")
    oracle.told_once(SimpleNamespace(sink=sink), result, {"job-a": DONE, "job-b": DONE})  # type: ignore[arg-type]
    assert (result.sent, result.received, result.duplicates) == (3, 1, 1)
    assert result.troubles == ["no webhook: job-b (successful)"]
    assert not result.passed


def test_growth_is_that_of_the_line_through_the_last_half() -> None:
    flat = [(float(second), 100.0 + second % 2) for second in range(100)]
    assert abs(growth_of_last_half(flat)) < 0.01
    assert growth_of_last_half([(float(second), 100.0 + second) for second in range(100)]) == pytest.approx(49 / 150)


def test_a_process_ends_once_at_a_point_that_was_armed(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("job-a")
    program = "import sys; from tests.faults.crashing import crossing; crossing('here', sys.argv[1])"
    env = os.environ | {crashing.ARMED: str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    codes = [
        subprocess.run([sys.executable, "-P", "-c", program, job], env=env, check=False).returncode
        for job in ("job-b", "job-a", "job-a")
    ]
    assert codes == [0, 1, 0]


def test_the_points_of_the_table_exist_in_the_product(tmp_path: Path) -> None:
    program = "from tests.faults import crashing; crashing._wrap_worker(); crashing._wrap_api(); print('wrapped')"
    env = os.environ | {crashing.ARMED: str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-P", "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "wrapped\n"


def test_a_ledger_keeps_notes_of_many_at_once(ledger: Ledger, tmp_path: Path) -> None:
    threads = [threading.Thread(target=ledger.keep, args=(f"job-{number}.1 start",)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len((tmp_path / "ledger").read_text().splitlines()) == len(ledger.entries()) == 50
