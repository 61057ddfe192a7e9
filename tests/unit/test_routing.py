"""Which job goes where."""

import pytest

from ansible_api.routing import Queue, Route, TaskName, Workload, broker_priority, route, task_priority, task_queue


@pytest.mark.parametrize(
    ("workload", "queue"),
    [
        (Workload(timeout=60), Queue.DEFAULT),
        (Workload(timeout=3600), Queue.DEFAULT),
        (Workload(timeout=3601), Queue.LONG_RUNNING),
        (Workload(timeout=60, inventory_types={"dynamic"}), Queue.DYNAMIC_INVENTORY),
        (Workload(timeout=60, inventory_types={"inline", "url"}), Queue.DYNAMIC_INVENTORY),
        (Workload(timeout=60, inventory_types={"git"}), Queue.DEFAULT),
        (Workload(timeout=60, installs=True), Queue.GIT_HEAVY),
        (Workload(timeout=60, repositories=2), Queue.GIT_HEAVY),
        (Workload(timeout=60, slowest_fetch=10.0), Queue.DEFAULT),
        (Workload(timeout=60, slowest_fetch=10.1), Queue.GIT_HEAVY),
        (Workload(timeout=9999, inventory_types={"dynamic"}, installs=True), Queue.LONG_RUNNING),
        (Workload(timeout=60, inventory_types={"dynamic"}, installs=True), Queue.DYNAMIC_INVENTORY),
        (Workload(timeout=9999, inventory_types={"url"}, requested_queue=Queue.GIT_HEAVY), Queue.GIT_HEAVY),
    ],
)
def test_the_most_telling_property_of_a_job_decides_its_queue(workload: Workload, queue: Queue) -> None:
    assert route(workload, long_running_after=3600, git_heavy_after=10.0).queue is queue


def test_a_route_says_why() -> None:
    expected = Route(Queue.LONG_RUNNING, 7, "timeout of 61 s is above 60 s")
    assert route(Workload(timeout=61, priority=7), long_running_after=60, git_heavy_after=10.0) == expected


def test_priority_nine_is_most_urgent_on_every_broker() -> None:
    redis = [broker_priority(priority, transport="redis://host") for priority in range(10)]
    rabbit = [broker_priority(priority, transport="amqp://host") for priority in range(10)]
    assert redis == sorted(redis, reverse=True)  # Redis takes 0 first
    assert rabbit == sorted(rabbit)  # RabbitMQ takes 9 first


def test_small_tasks_never_wait_behind_a_playbook() -> None:
    assert {name: task_queue(name) for name in TaskName if name is not TaskName.RUN_JOB} == {
        TaskName.UPLOAD: Queue.DELIVERY,
        TaskName.CLOSE_JOB: Queue.DELIVERY,
        TaskName.DELIVER: Queue.DELIVERY,
    }


def test_nobody_waits_behind_uploads() -> None:
    others = [name for name in TaskName if name is not TaskName.UPLOAD]
    assert all(task_priority(name) > task_priority(TaskName.UPLOAD) for name in others)
