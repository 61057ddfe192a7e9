import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.waiting import wait_for

from ansible_api import processes

VARIABLE = "ANSIBLE_API_TEST_MARK"


def guard(command: str, *, grace: float = 5.0, parent: int | None = None, lease: str = "") -> subprocess.Popen[bytes]:
    numbers = [str(parent or os.getpid()), str(grace), "0", lease]
    argv = [sys.executable, "-I", "-m", "ansible_api.execution.guardian", *numbers, "/bin/sh", "-c", command]
    mark = f"{os.getpid()}-{id(command)}"
    process = subprocess.Popen(argv, env={**os.environ, VARIABLE: mark})
    process.mark = mark  # type: ignore[attr-defined]
    return process


def alive(process: subprocess.Popen[bytes]) -> dict[int, str]:
    return processes.marked(VARIABLE, process.mark)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_ends_with_the_exit_code_of_the_play(command: str, code: int) -> None:
    assert guard(command).wait(timeout=20) == code


def test_a_command_that_cannot_be_started_is_127() -> None:
    numbers = [str(os.getpid()), "1", "0", ""]
    argv = [sys.executable, "-I", "-m", "ansible_api.execution.guardian", *numbers, "/does/not/exist"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 127
    assert "/does/not/exist" in done.stderr


def test_daemons_of_the_play_die_with_it() -> None:
    process = guard("(setsid sh -c 'trap \"\" TERM HUP; sleep 300; sleep 300' &) ; (setsid sleep 300 &) ; exit 3")
    assert process.wait(timeout=20) == 3
    assert alive(process) == {}


def test_sigterm_reaches_the_play_first() -> None:
    process = guard("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    wait_for(lambda: len(alive(process)) >= 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 9


def test_a_sigterm_of_anybody_but_the_worker_changes_nothing() -> None:
    process = guard("trap 'exit 9' TERM; while :; do sleep 0.05; done", grace=0.2)
    wait_for(lambda: len(alive(process)) >= 3)
    subprocess.run(["/bin/sh", "-c", f"kill {process.pid}"], check=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 9


def test_a_worker_that_ignores_sigterm_does_not_make_its_play_ignore_it() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        process = guard("sleep 300", grace=60)
    finally:
        signal.signal(signal.SIGTERM, before)
    wait_for(lambda: len(alive(process)) >= 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143


def test_after_the_grace_the_stubborn_are_killed() -> None:
    process = guard("trap '' TERM; sleep 300; sleep 300", grace=0.2)
    wait_for(lambda: len(alive(process)) >= 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 137
    assert alive(process) == {}


def test_nothing_is_started_when_the_worker_is_gone_already() -> None:
    process = guard("sleep 300", parent=1)
    assert process.wait(timeout=20) == 143
    assert alive(process) == {}


def lease_until(path: Path, end: float) -> str:
    path.touch()
    os.utime(path, (end, end))
    return str(path)


def test_a_play_goes_on_until_the_moment_that_its_lease_names_and_no_longer(tmp_path: Path) -> None:
    lease, end = tmp_path / "lease", processes.boot_time() + 5
    process = guard("sleep 300", lease=lease_until(lease, end))
    for _ in range(10):
        lease_until(lease, end := end + 0.1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    assert process.wait(timeout=20) == 137
    assert end <= processes.boot_time() < end + 5
    assert alive(process) == {}


def test_a_play_does_not_outlast_a_lease_that_ended_before_it(tmp_path: Path) -> None:
    lease = lease_until(tmp_path / "lease", processes.boot_time() - 1)
    assert guard("sleep 300", lease=lease).wait(timeout=20) == 137


def test_a_lease_file_that_is_gone_is_not_renewed(tmp_path: Path) -> None:
    process = guard("sleep 300", lease=str(tmp_path / "lease"))
    assert process.wait(timeout=20) == 137
