"""The one truth about queues: their names, their tasks, and which job goes where."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

DEFAULT_PRIORITY = 5
HIGHEST_PRIORITY = 9


class Queue(StrEnum):
    """The Celery queues; every one but `delivery` runs playbooks."""

    DEFAULT = "default"
    GIT_HEAVY = "git-heavy"
    DYNAMIC_INVENTORY = "dynamic-inventory"
    LONG_RUNNING = "long-running"
    DELIVERY = "delivery"


JOB_QUEUES = tuple(queue for queue in Queue if queue is not Queue.DELIVERY)


class TaskName(StrEnum):
    """The Celery task names; messages carry ids only."""

    RUN_JOB = "ansible_api.run_job"
    UPLOAD = "ansible_api.upload"
    CLOSE_JOB = "ansible_api.close_job"
    DELIVER = "ansible_api.deliver"


CANARY = "ansible_api.canary"  # no task: a message by which a worker shows that it consumes


def canary_queue(node: str) -> str:
    """The queue of one worker's canaries, which is nobody else's."""
    return f"canary.{node}"


@dataclass(frozen=True, slots=True)
class Workload:
    """What routing needs to know of a job's spec."""

    timeout: int
    requested_queue: Queue | None = None
    priority: int = DEFAULT_PRIORITY
    inventory_types: AbstractSet[str] = field(default_factory=frozenset)
    repositories: int = 1
    installs: bool = False
    slowest_fetch: float = 0.0  # seconds that one of its repositories took to fetch before


@dataclass(frozen=True, slots=True)
class Route:
    """Where a job waits, how urgently, and why there."""

    queue: Queue
    priority: int
    reason: str


def route(workload: Workload, *, long_running_after: int, git_heavy_after: float) -> Route:
    """The route of a job: explicit queue > long-running > dynamic-inventory > git-heavy > default; seconds."""
    queue, reason = _queue_and_reason(workload, long_running_after, git_heavy_after)
    return Route(queue, workload.priority, reason)


def _queue_and_reason(workload: Workload, long_running_after: int, git_heavy_after: float) -> tuple[Queue, str]:
    if workload.requested_queue is not None:
        return workload.requested_queue, "asked for by options.queue"
    if workload.timeout > long_running_after:
        return Queue.LONG_RUNNING, f"timeout of {workload.timeout} s is above {long_running_after} s"
    if fetched := sorted(workload.inventory_types & {"dynamic", "url"}):
        return Queue.DYNAMIC_INVENTORY, f"inventory of type {' and '.join(fetched)}"
    if workload.installs:
        return Queue.GIT_HEAVY, "has roles or collections to install"
    if workload.repositories > 1:
        return Queue.GIT_HEAVY, f"reads {workload.repositories} git repositories"
    if workload.slowest_fetch > git_heavy_after:
        return Queue.GIT_HEAVY, f"reads a git repository that took {workload.slowest_fetch:.0f} s to fetch"
    return Queue.DEFAULT, "nothing special"


def task_queue(task: TaskName) -> Queue:
    """The queue of a task when its sender names none."""
    match task:
        case TaskName.RUN_JOB:
            return Queue.DEFAULT
        case TaskName.UPLOAD | TaskName.CLOSE_JOB | TaskName.DELIVER:
            return Queue.DELIVERY
        case _:
            assert_never(task)


def task_priority(task: TaskName) -> int:
    """How urgent a task of `delivery` is: uploads take as long as the object store does, nobody waits behind them."""
    return HIGHEST_PRIORITY - 1 if task is TaskName.UPLOAD else HIGHEST_PRIORITY


def broker_priority(priority: int, *, transport: str) -> int:
    """The number a broker wants for priority 0–9 (9 most urgent): Redis counts the other way round."""
    return priority if transport.startswith("amqp") else HIGHEST_PRIORITY - priority
