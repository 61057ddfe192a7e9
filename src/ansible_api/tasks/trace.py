"""The spans of one attempt: its wait for a worker, its phases, and the tasks of its play."""

from collections import Counter
from datetime import datetime

from ansible_api import tracing
from ansible_api.events.types import Event
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Phase
from ansible_api.tracing import Kind, Span

MOST_TASKS = 1000  # more say nothing that the log does not say better
TASK_STARTS = ("playbook_on_task_start", "playbook_on_handler_task_start")
RESULTS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}


class AttemptTrace:
    """Told of what happens in the order in which it does, by one thread."""

    def __init__(self, job: Job) -> None:
        about: dict[str, str | int] = {
            "ansible_api.job_id": job.id,
            "ansible_api.attempt": job.attempt,
            "ansible_api.team": job.team,
            "messaging.system": "celery",
            "messaging.destination.name": job.queue,
        }
        waited = tracing.begin(
            "job queued",
            parent=job.trace_parent,
            kind=Kind.PRODUCER,
            at=job.queued_at.timestamp(),
            attributes=about,
        )
        waited.end(job.started_at.timestamp() if job.started_at else None)
        self._attempt = tracing.begin("job attempt", parent=job.trace_parent, kind=Kind.CONSUMER, attributes=about)
        self._phase, self._task = Span(), Span()
        self._tasks = 0
        self._hosts: Counter[str] = Counter()  # of the task: how it went on each

    def phase(self, phase: Phase) -> None:
        """The next phase begins."""
        self._end_task()
        self._phase.end()
        self._phase = self._attempt.child(f"phase {phase}")

    def event(self, event: Event) -> None:
        """Something in the play; its texts are masked."""
        if not self._attempt.recorded:
            return
        if event.type in TASK_STARTS and self._tasks < MOST_TASKS:
            self._end_task(_moment(event))
            self._tasks += 1
            self._task = self._phase.child(
                f"task {event.task}", at=_moment(event), attributes={"ansible.play": event.play}
            )
        elif event.type in (*TASK_STARTS, "playbook_on_stats"):
            self._end_task(_moment(event))
        elif (how := RESULTS.get(event.type)) is not None:
            self._hosts["ignored" if event.result.get("ignore_errors") else how] += 1

    def end(self, status: str, error: str | None) -> None:
        """The attempt has ended: what the job is now, and the code of what was wrong."""
        self._end_task()
        self._phase.end()
        self._attempt.note({"ansible_api.status": status, "ansible_api.error": error}, error=error)
        self._attempt.end()

    def _end_task(self, at: float | None = None) -> None:
        if self._task.recorded:
            failed = self._hosts["failed"] + self._hosts["unreachable"]
            hosts = {f"ansible.hosts.{how}": count for how, count in self._hosts.items()}
            self._task.note(hosts, error=f"failed on {failed} hosts" if failed else None)
            self._task.end(at)
        self._task, self._hosts = Span(), Counter()


def _moment(event: Event) -> float:
    return datetime.fromisoformat(event.time).timestamp()
