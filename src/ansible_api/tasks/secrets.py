"""Opens a job's secrets; the wait for Vault ends when the job is to stop."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from ansible_api.credentials.resolve import Loaded, Owner, load
from ansible_api.credentials.secrets import Secrets
from ansible_api.egress import Policy
from ansible_api.execution.execute import stop_if_asked
from ansible_api.jobs.model import Job
from ansible_api.jobs.secrets import wanted
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import StopReason
from ansible_api.settings import Settings
from ansible_api.tasks.worker import Worker

POLL = 0.1  # seconds between two looks at whether the job is to stop


def open_secrets(worker: Worker, job: Job, spec: JobSpec, pulse: Callable[[], StopReason | None]) -> Secrets:
    """Every secret of a job in memory; Stopped or LeaseLost when `pulse` says so, JobError when one cannot be had."""
    loaded = worker.db.read(load, worker.cipher, Owner(job.team, job.id), wanted(spec))
    return open_loaded(loaded, worker.settings, pulse)


def open_loaded(loaded: Loaded, settings: Settings, pulse: Callable[[], StopReason | None]) -> Secrets:
    """The network's part of `open_secrets`, in a thread that is left behind when the job is to stop."""
    answer: Future[Secrets] = Future()

    def work() -> None:
        try:
            answer.set_result(loaded.open(Policy.of(settings), settings.vault_timeout))
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            answer.set_exception(error)

    if not loaded.entrances:
        work()
        return answer.result()
    threading.Thread(target=work, daemon=True, name="vault").start()
    while not wait([answer], POLL).done:
        stop_if_asked(pulse)
    return answer.result()
