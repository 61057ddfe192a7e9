"""Tell the broker of the jobs of a queue that are next."""

from collections.abc import Iterable

from ansible_api.db import Database
from ansible_api.dispatch import JobQueue
from ansible_api.jobs import groups, line
from ansible_api.jobs.fairness import Group
from ansible_api.jobs.line import Rules
from ansible_api.jobs.model import Job
from ansible_api.routing import Queue
from ansible_api.settings import Settings


def feed(db: Database, queue: JobQueue, settings: Settings, names: Iterable[str]) -> None:
    """Publish what is next in these queues, as far as there is room; Unavailable when database or broker are away."""
    for name in names:
        rules = Rules.of(settings, name)
        if chosen := db.read(line.choose_next, name, rules):
            for job in db.write(line.publish, name, chosen, rules):
                queue.enqueue(job.id, attempt=job.attempt + 1, queue=Queue(name), priority=job.priority)


def queues_after(db: Database, job: Job) -> set[str]:
    """The queues in which a job may begin when this one has ended."""
    if job.concurrency_group is None:
        return {job.queue}
    return {job.queue, *db.read(groups.queues, Group(job.team, job.concurrency_group))}
