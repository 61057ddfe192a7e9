"""Workers that die, jobs that are cancelled or run too long: every job ends, and no process survives.

On the parts of production; test_up.py has the faults of the embedded default.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_api.celery import create_app, dispose
from tests.acceptance.brokers import on_any_broker, on_both_brokers
from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import Service, local_job
from tests.waiting import wait_for

JOB_MARK = b"ANSIBLE_API_JOB="
BUSY = play("""
- name: Leave something running
  command: sleep 300
  async: 300
  poll: 0
- name: Wait on every host
  command: sleep 300
""")

PATIENT = {"SHUTDOWN_GRACE": "30"}  # where a play shall end, however slow the machine
FIRST_TIME_SLOW = play("""
- name: Be slow the first time only
  shell: case $ANSIBLE_API_JOB in *.1) exec sleep 300;; esac
""")


@on_any_broker
def test_a_killed_child_ends_its_play_and_the_job_is_lost(fresh_service: Service, repo: Path) -> None:
    fresh_service.env["LEASE_PLAYING"] = "300"  # its parent knows sooner
    _start(fresh_service)
    job_id = fresh_service.submit(local_job(repo, "slow.yml"))
    _wait_until_playing(fresh_service, job_id)
    os.kill(_child_of(fresh_service, job_id), signal.SIGKILL)
    wait_for(lambda: not _processes_of(job_id), timeout=20, message="the play outlived its worker")
    job = fresh_service.wait_for_status(job_id, timeout=30)
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("lost", "worker_lost", 1)
    rooms = fresh_service.folder / "state" / "work"
    wait_for(lambda: not list(rooms.glob("job-*")), timeout=10, message="what the play left stays")
    assert "Wait" in fresh_service.log_of(job_id)
    following = fresh_service.submit(local_job(repo))
    assert fresh_service.wait_for_status(following)["status"] == "successful"


@on_any_broker
def test_a_killed_child_whose_job_may_run_again_makes_it_run_again(fresh_service: Service, tmp_path: Path) -> None:
    _start(fresh_service)
    once = make_repo(tmp_path / "once", {"site.yml": FIRST_TIME_SLOW})
    options = {"on_worker_loss": "rerun"}
    job_id = fresh_service.submit(local_job(once, options=options))
    wait_for(lambda: _sleepers(job_id), timeout=40, message="the play did not begin")
    os.kill(_child_of(fresh_service, job_id), signal.SIGKILL)
    job = fresh_service.wait_for_status(job_id, timeout=40)
    assert (job["status"], job["attempt"]) == ("successful", 2)
    assert job["last_error"] == "worker_lost: the worker vanished while the play ran"
    assert not _processes_of(job_id)


@on_any_broker
def test_a_killed_worker_with_all_its_children_loses_the_job_too(fresh_service: Service, repo: Path) -> None:
    worker = _start(fresh_service)
    job_id = fresh_service.submit(local_job(repo, "slow.yml"))
    _wait_until_playing(fresh_service, job_id)
    os.killpg(worker.pid, signal.SIGKILL)
    wait_for(lambda: not _processes_of(job_id), timeout=20, message="the play outlived its worker")
    fresh_service.start_worker(name="second")
    assert fresh_service.wait_for_status(job_id, timeout=40)["status"] == "lost"


@on_any_broker
def test_a_worker_killed_before_the_play_begins_makes_the_job_run_again_once(
    fresh_service: Service, repo: Path, tmp_path: Path
) -> None:
    _start(fresh_service)
    # The fetch stops at a fifo in place of a file: the attempt is in its source phase for as long as we like.
    stuck = make_repo(tmp_path / "stuck", {"site.yml": play("- shell: echo ran >> {{ ledger }}")})
    packed = stuck / ".git" / "packed-refs"
    os.mkfifo(packed)
    spec = local_job(stuck, extra_vars={"ledger": "/dev/null"})
    job_id = fresh_service.submit(spec)
    wait_for(lambda: fresh_service.job(job_id)["status"] == "running", timeout=20, message="not claimed")
    os.kill(_child_of(fresh_service, job_id), signal.SIGKILL)
    wait_for(lambda: fresh_service.job(job_id)["attempt"] == 2, timeout=30, message="not tried again")
    packed.unlink()
    job = fresh_service.wait_for_closed(job_id)
    assert (job["status"], job["attempt"]) == ("successful", 2)
    assert job["last_error"] == "worker_lost: the worker vanished before the play began"
    assert fresh_service.log_of(job_id).count("TASK [shell]") == 1


@on_any_broker
def test_cancelling_a_play_with_forks_and_async_tasks_leaves_no_process(fresh_service: Service, tmp_path: Path) -> None:
    _start(fresh_service)
    busy = make_repo(tmp_path / "busy", {"site.yml": BUSY})
    job_id = fresh_service.submit(local_job(busy, hosts=10, options={"forks": 10}))
    wait_for(lambda: len(_sleepers(job_id)) >= 20, timeout=60, message="the play did not get busy")
    with fresh_service.client as client:
        assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 202
        assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 202  # asking twice is asking once
    wait_for(lambda: not _processes_of(job_id), timeout=10, message="processes survived the cancel")
    job = fresh_service.wait_for_status(job_id)
    assert (job["status"], job["cancel_requested_at"] is not None) == ("canceled", True)


@on_any_broker
def test_a_job_that_has_ended_cannot_be_cancelled(fresh_service: Service, repo: Path) -> None:
    _start(fresh_service)
    job_id = fresh_service.submit(local_job(repo))
    fresh_service.wait_for_status(job_id)
    with fresh_service.client as client:
        answer = client.delete(f"/api/v1/jobs/{job_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@on_any_broker
def test_a_job_that_waits_is_cancelled_at_once(fresh_service: Service, repo: Path) -> None:
    fresh_service.start_api()
    job_id = fresh_service.submit(local_job(repo))
    with fresh_service.client as client:
        assert client.post(f"/api/v1/jobs/{job_id}/cancel").json()["status"] == "canceled"
    fresh_service.start_worker()
    following = fresh_service.submit(local_job(repo))
    assert fresh_service.wait_for_status(following)["status"] == "successful"
    assert fresh_service.job(job_id)["attempt"] == 0


@on_any_broker
def test_a_play_that_runs_too_long_is_timed_out(fresh_service: Service, repo: Path) -> None:
    _start(fresh_service)
    job_id = fresh_service.submit(local_job(repo, "slow.yml", options={"timeout": 2}))
    job = fresh_service.wait_for_status(job_id)
    assert job["status"] == "timed_out"
    assert not _processes_of(job_id)


@on_both_brokers
def test_a_job_submitted_while_no_worker_runs_is_run_later(fresh_service: Service, repo: Path) -> None:
    fresh_service.start_api()
    job_id = fresh_service.submit(local_job(repo))
    fresh_service.start_worker()
    assert fresh_service.wait_for_status(job_id)["status"] == "successful"


@on_both_brokers
def test_a_lost_message_is_published_again(fresh_service: Service, repo: Path) -> None:
    fresh_service.start_api()
    job_id = fresh_service.submit(local_job(repo))
    broker = create_app(fresh_service.settings)
    assert broker.control.purge() == 1
    dispose(broker)
    fresh_service.start_worker()
    assert fresh_service.wait_for_status(job_id)["status"] == "successful"


@on_both_brokers
def test_shutting_down_a_worker_lets_a_short_play_end(fresh_service: Service, repo: Path) -> None:
    fresh_service.env |= PATIENT
    worker = _start(fresh_service)
    job_id = fresh_service.submit(local_job(repo, "slow.yml", extra_vars={"seconds": 3}))
    _wait_until_playing(fresh_service, job_id)
    worker.terminate()
    assert worker.wait(30) == 0
    assert fresh_service.job(job_id)["status"] == "successful"


@on_any_broker
def test_a_shutdown_that_signals_all_processes_of_a_worker_lets_a_short_play_end(
    fresh_service: Service, repo: Path
) -> None:
    fresh_service.env |= PATIENT
    worker = _start(fresh_service)
    job_id = fresh_service.submit(local_job(repo, "slow.yml", extra_vars={"seconds": 3}))
    _wait_until_playing(fresh_service, job_id)
    os.killpg(worker.pid, signal.SIGTERM)
    assert worker.wait(30) == 0
    assert fresh_service.job(job_id)["status"] == "successful"


@pytest.mark.parametrize(
    ("grace", "send", "number"),
    [("1", os.kill, signal.SIGTERM), ("1", os.killpg, signal.SIGTERM), ("300", os.kill, signal.SIGQUIT)],
    ids=["the grace is over", "all processes are signalled", "a cold shutdown"],
)
@on_any_broker
def test_a_shutdown_ends_a_long_play_in_order_and_nothing_stays_running(
    fresh_service: Service, repo: Path, grace: str, send: Callable[[int, int], None], number: int
) -> None:
    fresh_service.env["SHUTDOWN_GRACE"] = grace
    worker = _start(fresh_service)
    job_id = fresh_service.submit(local_job(repo, "slow.yml"))
    _wait_until_playing(fresh_service, job_id)
    send(worker.pid, number)
    assert worker.wait(30) == 0
    job = fresh_service.job(job_id)
    assert (job["status"], job["error"]["code"], _processes_of(job_id)) == ("lost", "worker_shutdown", [])


# Once the file is there, the worker's next acknowledgement breaks Celery; with `hangs` it never ends by itself, either.
BREAKING = """
import runpy
import sys
import time
from pathlib import Path
from celery.concurrency.prefork import TaskPool
from kombu.message import Message
broken, hangs = Path(sys.argv.pop(1)), sys.argv.pop(1) == "hangs"
acknowledge = Message.ack
def ack(self, *args, **kwargs):
    if broken.exists():
        raise AttributeError("broken by a test")
    acknowledge(self, *args, **kwargs)
Message.ack = ack
if hangs:
    TaskPool.on_stop = lambda self: time.sleep(300)
runpy.run_module("ansible_api.cli", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("how", ["ends", "hangs"])
@on_both_brokers
def test_a_worker_that_breaks_lets_a_short_play_end_and_is_gone_itself(
    fresh_service: Service, repo: Path, how: str
) -> None:
    broken = fresh_service.folder / "broken"
    fresh_service.start_api()
    fresh_service.env |= PATIENT | {"SHUTDOWN_GRACE": "8"}
    fresh_service.command = (sys.executable, "-P", "-c", BREAKING, str(broken), how)
    worker = fresh_service.start_worker()
    job_id = fresh_service.submit(local_job(repo, "slow.yml", extra_vars={"seconds": 3}))
    _wait_until_playing(fresh_service, job_id)
    broken.touch()
    fresh_service.submit(local_job(repo))
    assert worker.wait(40) == (os.EX_SOFTWARE if how == "hangs" else 1)
    assert fresh_service.job(job_id)["status"] == "successful"


def _start(service: Service):  # type: ignore[no-untyped-def]
    service.start_api()
    return service.start_worker()


def _wait_until_playing(service: Service, job_id: str) -> None:
    wait_for(lambda: "Wait" in _current_task(service, job_id), timeout=40, message="the play did not begin")


def _current_task(service: Service, job_id: str) -> str:
    return service.job(job_id)["progress"]["current_task"] or ""


def _processes_of(job_id: str) -> list[int]:
    """The processes of a job's plays: each carries the job in its environment."""
    return [pid for pid in _pids() if any(entry.startswith(JOB_MARK + job_id.encode()) for entry in _environ(pid))]


def _sleepers(job_id: str) -> list[int]:
    return [pid for pid in _processes_of(job_id) if _argv(pid)[:1] == [b"sleep"]]


def _child_of(service: Service, job_id: str) -> int:
    """The worker child that runs a job: it names itself in the lease."""
    from ansible_api.db import Database
    from ansible_api.jobs import store

    db = Database(service.env["DATABASE_URL"])
    try:
        job = db.read(store.get, job_id)
    finally:
        db.close()
    assert job is not None
    assert job.lease_owner is not None
    return int(job.lease_owner.rpartition("/")[2])


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environ(pid: int) -> list[bytes]:
    return _read(pid, "environ").split(b"\0")


def _argv(pid: int) -> list[bytes]:
    return _read(pid, "cmdline").split(b"\0")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
