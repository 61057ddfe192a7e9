"""Queues with real workers: turns, urgency, groups, pauses, drains, and workers for one job."""

import subprocess
from pathlib import Path

import httpx
import pytest

from ansible_api.events.spool import SpoolWriter
from tests.acceptance.brokers import on_any_broker, on_both_brokers
from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import COMMAND, Service, local_job
from tests.servers.processes import free_port
from tests.waiting import wait_for

NOTE = play("""
- name: Note when it runs
  shell: |
    echo {{ name }} start >> {{ notes }}
    sleep {{ seconds | default(0) }}
    until [ -e {{ until }} ]; do sleep 0.1; done
    echo {{ name }} end >> {{ notes }}
""")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def noting(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "noting", {"site.yml": NOTE})


def submit(
    service: Service, repo: Path, notes: Path, name: str, seconds: float = 0, until: Path = Path("/"), **options: object
) -> str:
    """A job that takes so many seconds, and longer if a file is not there until then."""
    variables = {"name": name, "notes": str(notes), "seconds": seconds, "until": str(until)}
    return service.submit(local_job(repo, extra_vars=variables, options=options))


def order(notes: Path, event: str = "start") -> list[str]:
    return [line.split()[0] for line in notes.read_text().splitlines() if line.endswith(event)]


@pytest.fixture(autouse=True)
def unsandboxed(fresh_service: Service) -> None:
    fresh_service.env["ISOLATION"] = "none"  # plays write to one file


@on_any_broker
def test_what_is_urgent_is_next_whatever_waited_before(fresh_service: Service, noting: Path, notes: Path) -> None:
    fresh_service.start_api()
    fresh_service.start_worker(concurrency=1)
    go = notes.with_name("go")
    first = submit(fresh_service, noting, notes, "first", until=go)
    wait_for(notes.exists, 30)
    low = [submit(fresh_service, noting, notes, f"low{number}", priority=2) for number in range(4)]
    high = [submit(fresh_service, noting, notes, f"high{number}", priority=8) for number in range(2)]
    go.touch()
    for job_id in (first, *low, *high):
        fresh_service.wait_for_status(job_id)
    assert order(notes) == ["first", "high0", "high1", "low0", "low1", "low2", "low3"]


@on_any_broker
def test_a_team_that_floods_a_queue_does_not_keep_another_waiting(
    fresh_service: Service, noting: Path, notes: Path
) -> None:
    fresh_service.start_api()
    key = fresh_service.run("keys", "create", "--name", "calm", "--team", "calm", "--role", "submitter")
    fresh_service.start_worker(concurrency=1)
    go = notes.with_name("go")
    submit(fresh_service, noting, notes, "first", until=go)
    wait_for(notes.exists, 30)
    for number in range(5):
        submit(fresh_service, noting, notes, f"flood{number}")
    fresh_service.key = key
    calm = submit(fresh_service, noting, notes, "calm")
    go.touch()
    fresh_service.wait_for_status(calm)
    assert order(notes).index("calm") <= 2


@on_any_broker
def test_jobs_of_a_group_run_one_after_the_other_in_whatever_queue(
    fresh_service: Service, noting: Path, notes: Path
) -> None:
    fresh_service.start_api()
    fresh_service.start_worker(concurrency=3)
    group = {"concurrency": {"group": "prod/web"}}
    jobs = [
        submit(fresh_service, noting, notes, f"job{number}", seconds=0.5, queue=queue, **group)
        for number, queue in enumerate(("default", "git-heavy", "long-running", "default"))
    ]
    for job_id in jobs:
        assert fresh_service.wait_for_status(job_id, timeout=120)["status"] == "successful"
    said = [line.split() for line in notes.read_text().splitlines()]
    assert [event for _, event in said] == ["start", "end"] * 4
    assert all(start[0] == end[0] for start, end in zip(said[::2], said[1::2], strict=True))


@on_both_brokers
def test_a_drained_worker_ends_what_it_runs_and_takes_no_more(
    fresh_service: Service, noting: Path, notes: Path
) -> None:
    fresh_service.start_api()
    fresh_service.start_worker(name="old")
    running = submit(fresh_service, noting, notes, "running", seconds=5)
    wait_for(notes.exists, 30)
    with subprocess.Popen([*COMMAND, "worker", "drain"], env=fresh_service.environment()) as drain:
        wait_for(lambda: _draining(fresh_service), 20)
        waiting = submit(fresh_service, noting, notes, "waiting")
        assert drain.wait(60) == 0
    assert fresh_service.job(running)["status"] == "successful"
    assert fresh_service.job(waiting)["status"] == "queued"
    assert fresh_service.job(waiting)["why_waiting"]["reason"] == "no_worker"
    fresh_service.start_worker(name="new")
    assert fresh_service.wait_for_status(waiting)["status"] == "successful"


@on_both_brokers
def test_a_worker_for_one_job_ends_when_all_of_it_is_stored(fresh_service: Service, noting: Path, notes: Path) -> None:
    fresh_service.start_api()
    port = free_port()
    fresh_service.env["WORKER_PORT"] = str(port)
    fresh_service.start_worker("delivery", name="delivery", concurrency=1)
    del fresh_service.env["WORKER_PORT"]
    first, second = (submit(fresh_service, noting, notes, name) for name in ("first", "second"))
    arguments = ("worker", "--queue", "default", "--concurrency", "1", "--once")
    assert fresh_service.start("once", *arguments).wait(90) == 0
    assert [fresh_service.job(job_id)["status"] for job_id in (first, second)] == ["successful", "queued"]
    assert fresh_service.wait_for_closed(first)["log_status"] == "stored"
    assert fresh_service.start("twice", *arguments).wait(90) == 0
    assert fresh_service.wait_for_closed(second)["status"] == "successful"
    told = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    for counted in ("jobs_ended_total{", "run_seconds_count{"):  # by the worker that is still there
        assert f'ansible_api_{counted}queue="default",status="successful"}} 2.0' in told


@on_any_broker
def test_a_worker_for_one_job_that_could_not_begin_ends_and_leaves_it_to_the_next(fresh_service: Service) -> None:
    fresh_service.start_api()
    nobody = f"https://127.0.0.1:{free_port()}/away.git"
    job_id = fresh_service.submit(
        {**local_job(Path("/")), "source": {"type": "playbook", "repo": nobody, "path": "x.yml"}}
    )
    spools = fresh_service.folder / "state" / "spool"
    spools.mkdir(parents=True)
    others = SpoolWriter(spools / "job-of-another-worker.1.ndjson")
    once = fresh_service.start("once", "worker", "--queue", "default", "--concurrency", "1", "--once")
    assert once.wait(90) == 0
    job = fresh_service.job(job_id)
    assert (job["status"], job["attempt"]) == ("queued", 1)
    assert job["last_error"].startswith("source_unreachable")
    others.close()


def _draining(service: Service) -> bool:
    with service.client as client:
        queues = client.get("/api/v1/queues").json()["items"]
    return all(worker["drain_at"] for queue in queues for worker in queue["workers"])
