"""Each queue has a pool of its own."""

from pathlib import Path
from typing import Any

from pytest_celery import CeleryTestSetup, CeleryTestWorker

from tests.acceptance.service import Service, local_job
from tests.waiting import wait_for


def test_a_pool_consumes_its_own_queue_only(celery_setup: CeleryTestSetup) -> None:
    consumed = wait_for(lambda: _consumed(celery_setup, 3), message="the workers do not answer")
    assert sorted(consumed) == [["default"], ["delivery"], ["git-heavy"]]


def test_a_job_runs_in_the_pool_of_its_queue(celery_setup: CeleryTestSetup, pools: Service, repo: Path) -> None:
    job_id = pools.submit(local_job(repo, options={"queue": "git-heavy"}))
    assert pools.wait_for_closed(job_id)["status"] == "successful"
    default, git_heavy, delivery = celery_setup.worker_cluster
    assert _ran(git_heavy, job_id)
    assert not _ran(default, job_id)
    assert "ansible_api.upload" in _received(delivery)
    assert "ansible_api.upload" not in _received(default) + _received(git_heavy)


def test_a_pool_that_was_killed_takes_up_its_queue_again(
    celery_setup: CeleryTestSetup, pools: Service, repo: Path
) -> None:
    celery_setup.worker.kill()
    waiting = pools.submit(local_job(repo))
    elsewhere = pools.submit(local_job(repo, options={"queue": "git-heavy"}))
    assert pools.wait_for_status(elsewhere)["status"] == "successful"
    assert pools.job(waiting)["status"] == "queued"
    celery_setup.worker.restart()
    assert pools.wait_for_status(waiting)["status"] == "successful"


def _consumed(setup: CeleryTestSetup, count: int) -> list[list[str]]:
    """The queues of each worker that answers, once so many do."""
    answers: dict[str, list[dict[str, Any]]] = setup.app.control.inspect().active_queues() or {}
    return [[queue["name"] for queue in queues] for queues in answers.values()] if len(answers) == count else []


def _ran(worker: CeleryTestWorker, job_id: str) -> bool:
    return f"ansible_api.run_job[{job_id}.1] received" in worker.logs()


def _received(worker: CeleryTestWorker) -> str:
    return "\n".join(line for line in worker.logs().splitlines() if "received" in line)
