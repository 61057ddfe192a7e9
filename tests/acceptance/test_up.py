"""`ansible-api up` whole: real API, real worker, real Ansible, real Redis, on one machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain

from tests.processes import processes_with
from tests.running_up import RunningUp
from tests.waiting import wait_for

Start = Callable[..., RunningUp]
CLI = [sys.executable, "-m", "ansible_api.cli"]
# A time that no other process of the machine sleeps for.
LONG = 600 + os.getpid() / 1e6
AUTHOR = b"test <test@localhost>"
SLOW = """\
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Take a while
      ansible.builtin.command: sleep {{ seconds | default(0.2) }}
      changed_when: false
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[RunningUp] = []

    def begin(*options: str, **env: str) -> RunningUp:
        up = RunningUp(CLI, tmp_path / "data", tmp_path / f"output{len(started)}", options, env)
        started.append(up)
        return up.start()

    yield begin
    for up in started:
        up.clean_up()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """One that stays, for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("up")
    running = RunningUp(CLI, folder / "data", folder / "output").start()
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repos") / "repository"
    path.mkdir()
    (path / "slow.yml").write_text(SLOW)
    with porcelain.init(path) as git:
        porcelain.add(git, [path / "slow.yml"])
        porcelain.commit(git, message=b"one", author=AUTHOR, committer=AUTHOR, sign=False)
    return path


def client(up: RunningUp, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A client command against it."""
    argv = [*CLI, *arguments, "--url", up.url, "--key-file", str(up.data / "admin.key")]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def submit(up: RunningUp, repository: Path, *more: str) -> dict[str, Any]:
    """Submit the slow playbook; the job as it is then."""
    result = client(up, "submit", "--repo", str(repository), "--path", "slow.yml", "--host", "one", "--json", *more)
    assert result.stdout, result.stderr
    job: dict[str, Any] = json.loads(result.stdout)
    return job


def job(up: RunningUp, job_id: str) -> dict[str, Any]:
    """The job as it is now."""
    found: dict[str, Any] = json.loads(client(up, "jobs", job_id, "--json").stdout)
    return found


def test_the_printed_command_runs_a_job_to_its_end(up: RunningUp) -> None:
    assert up.url
    command = next(line for line in up.said.splitlines() if line.startswith("curl "))
    answer = json.loads(subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=60).stdout)
    assert answer["status"] == "successful", answer
    assert answer["source"]["path"] == "hello.yml"


def test_a_job_is_watched_and_its_log_is_stored(up: RunningUp, repository: Path) -> None:
    watched = client(up, "submit", "--repo", str(repository), "--path", "slow.yml", "--host", "one", "--watch")
    assert watched.returncode == 0, watched.stdout + watched.stderr
    assert "TASK [Take a while]" in watched.stdout
    job_id = watched.stdout.strip().splitlines()[-1].split()[0]
    log = wait_for(lambda: client(up, "logs", job_id).stdout, timeout=20, interval=0.5)
    assert "PLAY RECAP" in log
    events = [json.loads(line) for line in client(up, "logs", job_id, "--json").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    replayed = client(up, "watch", job_id)
    assert "TASK [Take a while]" in replayed.stdout


def test_a_canceled_job_ends_with_exit_4_and_leaves_no_process(up: RunningUp, repository: Path) -> None:
    job_id = submit(up, repository, "--extra-var", f"seconds={LONG}")["id"]
    wait_for(lambda: job(up, job_id)["phase"] == "playing", timeout=30)
    assert client(up, "cancel", job_id).returncode == 0
    assert client(up, "watch", job_id).returncode == 4
    wait_for(lambda: sleeping() == [], timeout=10)


def test_sigterm_in_mid_play_leaves_no_process(start: Start, repository: Path) -> None:
    up = start("--grace", "10")
    job_id = submit(up, repository, "--extra-var", f"seconds={LONG}")["id"]
    wait_for(lambda: job(up, job_id)["phase"] == "playing", timeout=30)
    assert up.stop(timeout=20) == 0
    assert processes_with(up.mark) == []
    assert sleeping() == []


def test_sigkill_of_up_leaves_no_process(start: Start, repository: Path) -> None:
    up = start()
    job_id = submit(up, repository, "--extra-var", f"seconds={LONG}")["id"]
    wait_for(lambda: job(up, job_id)["phase"] == "playing", timeout=30)
    up.stop(signal.SIGKILL)
    wait_for(lambda: processes_with(up.mark) == [] and sleeping() == [], timeout=10)


def test_a_queued_job_runs_after_a_restart(start: Start, repository: Path) -> None:
    up = start("--concurrency", "1", "--grace", "10")
    submit(up, repository, "--extra-var", f"seconds={LONG}", "--idempotency-key", "blocks")
    waiting = submit(up, repository)["id"]
    up.stop()
    again = start()
    wait_for(lambda: job(again, waiting)["finished_at"], timeout=60)
    assert job(again, waiting)["status"] == "successful"


def test_a_killed_worker_is_replaced_and_the_next_job_runs(up: RunningUp, repository: Path) -> None:
    assert up.url
    os.kill(worker(up), signal.SIGKILL)
    assert submit(up, repository, "--wait", "60")["status"] == "successful"
    assert "worker was ended by SIGKILL" in up.said


def test_no_secret_is_in_argv_output_or_logs(up: RunningUp, repository: Path) -> None:
    submit(up, repository, "--wait", "60")
    secrets = [(up.data / name).read_text().strip() for name in ("admin.key", "master.key", "webhook.secret")]
    secrets[1] = secrets[1].removeprefix("1:")
    texts = [up.said, *(file.read_text(errors="replace") for file in (up.data / "logs").iterdir())]
    texts += [command_of(pid).decode() for pid in up.parts()]
    assert [secret for secret in secrets for text in texts if secret in text] == []


def worker(up: RunningUp) -> int:
    """The main process of the worker that runs playbooks."""
    found = [pid for pid in up.parts() if b"worker.ready" in command_of(pid)]
    return min(found)


def command_of(pid: int) -> bytes:
    """Empty when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def sleeping() -> list[int]:
    """Processes of a play of the slow playbook; their environment is empty, so only the command tells."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == f"sleep\x00{LONG}\x00".encode():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
