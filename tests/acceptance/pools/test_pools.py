"""Each queue has a pool of its own."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from ansible_api.routing import Queue
from tests.acceptance.service import Service, local_job, plain_client
from tests.servers.processes import free_port
from tests.waiting import wait_for

CLASSES = {  # what routes a job there
    Queue.DEFAULT: {},
    Queue.GIT_HEAVY: {"queue": "git-heavy"},
    Queue.DYNAMIC_INVENTORY: {"queue": "dynamic-inventory"},
    Queue.LONG_RUNNING: {"timeout": 7200},
}


def test_a_pool_consumes_its_own_queue_only(celery_setup: CeleryTestSetup) -> None:
    consumed = wait_for(lambda: _consumed(celery_setup, len(Queue)), message="the workers do not answer")
    assert sorted(consumed) == sorted([queue.value] for queue in Queue)


def test_jobs_of_each_workload_class_run_in_the_pool_of_their_queue(
    celery_setup: CeleryTestSetup, pools: Service, repo: Path
) -> None:
    jobs = {queue: pools.submit(local_job(repo, options=options)) for queue, options in CLASSES.items()}
    for job_id in jobs.values():
        assert pools.wait_for_closed(job_id)["status"] == "successful"
    for worker, queue in zip(celery_setup.worker_cluster, Queue, strict=True):
        ran = {name for name, job_id in jobs.items() if f"ansible_api.run_job[{job_id}.1] received" in worker.logs()}
        assert ran == ({queue} if queue in jobs else set())
        assert ("ansible_api.upload" in _received(worker)) is (queue is Queue.DELIVERY)


def test_flower_shows_pools_by_queue_and_jobs_by_id_with_nothing_but_ids(
    celery_setup: CeleryTestSetup, pools: Service, repo: Path
) -> None:
    port = free_port()
    pools.start("flower", "flower", "--port", str(port), FLOWER_UNAUTHENTICATED_API="true")
    with plain_client(f"http://127.0.0.1:{port}", "", timeout=20) as flower:
        wait_for(lambda: _pools_in(flower) == {queue.value for queue in Queue}, 60, message="Flower sees no pools")
        job_id = pools.submit(local_job(repo, extra_vars={"password": "hunter2-in-no-message"}))
        pools.wait_for_closed(job_id)
        task = wait_for(lambda: _ended(_tasks_in(flower).get(f"{job_id}.1")), 20, message="Flower saw no end of it")
        assert (task["name"], task["args"]) == ("ansible_api.run_job", f"('{job_id}',)")
        assert task["worker"].startswith("default.")
        assert "hunter2" not in flower.get("/api/tasks").text


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
    """The queues of each worker that answers, once so many do; without that of its own canaries."""
    answers: dict[str, list[dict[str, Any]]] = setup.app.control.inspect().active_queues() or {}
    names = [[queue["name"] for queue in queues] for queues in answers.values()] if len(answers) == count else []
    return [[name for name in queues if not name.startswith("canary.")] for queues in names]


def _pools_in(flower: httpx.Client) -> set[str]:
    """The queues of workers that Flower knows, each named by its pool; nothing while it starts."""
    workers: dict[str, Any] = {}
    with suppress(httpx.ConnectError):
        answer = flower.get("/api/workers?refresh=true")
        workers = answer.json() if answer.status_code == 200 else {}
    return {
        queue["name"]
        for name, worker in workers.items()
        for queue in worker.get("active_queues", [])
        if name.startswith(f"{queue['name']}.")
    }


def _tasks_in(flower: httpx.Client) -> dict[str, Any]:
    answer = flower.get("/api/tasks")
    return answer.json() if answer.status_code == 200 else {}


def _ended(task: dict[str, Any] | None) -> dict[str, Any] | None:
    return task if task and task["state"] == "SUCCESS" else None


def _received(worker: CeleryTestWorker) -> str:
    return "\n".join(line for line in worker.logs().splitlines() if "received" in line)
