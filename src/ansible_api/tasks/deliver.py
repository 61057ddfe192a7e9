"""The task that attempts one webhook; the row says whether it is due and what follows.

An attempt that takes long moves out of the way: its thread goes on, the task returns, and the slot is free for others.
"""

import threading
import time
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass

from celery import shared_task, signals
from pydantic import SecretStr
from sqlalchemy.orm import Session
from structlog.contextvars import bind_contextvars

from ansible_api import telemetry, tracing
from ansible_api.deliveries import receivers, secrets, store
from ansible_api.deliveries.model import Delivery
from ansible_api.deliveries.send import SLOW_AFTER, attempt, columns, decide
from ansible_api.deliveries.store import Begun, Decision
from ansible_api.egress import Answer, Policy
from ansible_api.errors import AnsibleApiError, Unavailable
from ansible_api.jobs import service as jobs
from ansible_api.jobs.model import Job
from ansible_api.jobs.store import get_of_team
from ansible_api.logs import get_logger
from ansible_api.routing import TaskName
from ansible_api.tasks.worker import Worker, current, shutdown
from ansible_api.tracing import Attributes, Kind, Span

CROWD = 32  # attempts that go on in the background of one process, beyond which slow receivers wait
LAST_MOMENTS = 2.0  # a process that is replaced waits so long for them
PAUSES = (0.5, 2.0, 5.0)  # while the database is away, before the outcome of an attempt is given up
TROUBLE = "something went wrong in the service; see its log"
log = get_logger(__name__)
_under_way: "set[threading.Thread]" = set()


@shared_task(name=TaskName.DELIVER, acks_late=True)
def deliver(delivery_id: str) -> None:
    """Attempt a webhook if it is due; a repeated message does nothing."""
    worker = current()
    # The right to this attempt outlasts it: a sender that dies leaves the row due again later.
    begun = worker.db.write(store.begin_attempt, delivery_id, _hold(worker), crowded=len(_under_way) >= CROWD)
    if begun is None:
        return
    thread = threading.Thread(target=copy_context().run, args=(_attempt, worker, begun), name=delivery_id, daemon=True)
    _under_way.add(thread)
    thread.start()
    if begun.slow:
        return
    thread.join(SLOW_AFTER)
    if thread.is_alive():
        worker.db.write(receivers.mark_slow, begun.delivery, _hold(worker))


def _hold(worker: Worker) -> float:
    return worker.settings.webhook_timeout * 2


def _attempt(worker: Worker, begun: Begun) -> None:
    try:
        _send_and_note(worker, begun)
    except Unavailable as error:
        log.warning("the outcome of a webhook's attempt is lost; it is sent again", error=error.detail)
    except Exception:
        log.exception("the outcome of a webhook's attempt cannot be noted")
    finally:
        _under_way.discard(threading.current_thread())


def _send_and_note(worker: Worker, begun: Begun) -> None:
    """Whatever goes wrong is an outcome, too: it is noted, and the schedule goes on."""
    settings, row = worker.settings, begun.delivery
    policy, timeout = Policy.of(settings), settings.webhook_timeout
    start = time.monotonic()
    try:
        message = worker.db.read(_message, worker, row)
        bind_contextvars(**message.job.log_fields)
        start = time.monotonic()
        with _span(begun, message.job) as span:
            signing, parent = message.signing, span.traceparent
            answer = attempt(
                row.url, row.id, message.body, signing, policy=policy, timeout=timeout, trace_parent=parent
            )
            _tell(span, answer)
        duration = time.monotonic() - start
        _note(worker, begun, answer, duration, quick=duration < SLOW_AFTER)
    except Unavailable:
        raise
    except Exception as error:
        log.exception("a webhook's attempt failed", delivery_id=row.id, job_id=row.job_id)
        trouble = error if isinstance(error, AnsibleApiError) else AnsibleApiError(TROUBLE)
        _note(worker, begun, trouble, time.monotonic() - start, quick=False)


@dataclass(frozen=True, slots=True)
class _Message:
    """What to send, what signs it, and the job of which it tells."""

    body: str
    signing: list[SecretStr]
    job: Job


def _message(session: Session, worker: Worker, row: Delivery) -> _Message:
    view = jobs.view(session, row.team, row.job_id, base_url=worker.settings.base_url())
    signing = secrets.open_secrets(session, worker.cipher, row.team)
    return _Message(view.model_dump_json(), signing, get_of_team(session, row.team, row.job_id))


def _span(begun: Begun, job: Job) -> Span:
    """Of the attempt, and not of its address: that may hold a token."""
    about: Attributes = {
        "ansible_api.job_id": job.id,
        "ansible_api.delivery_id": begun.delivery.id,
        "ansible_api.number": begun.number,
        "server.address": begun.delivery.receiver,
        "http.request.method": "POST",
    }
    return tracing.begin("webhook", parent=job.trace_parent, kind=Kind.CLIENT, attributes=about)


def _tell(span: Span, answer: Answer | AnsibleApiError) -> None:
    if isinstance(answer, AnsibleApiError):
        span.note({}, error=type(answer).__name__)
        return
    refused = not 200 <= answer.status < 300
    span.note({"http.response.status_code": answer.status}, error=f"answered {answer.status}" if refused else None)


def _note(worker: Worker, begun: Begun, answer: Answer | AnsibleApiError, duration: float, *, quick: bool) -> None:
    settings, row = worker.settings, begun.delivery
    # The schedule starts anew with every redelivery.
    number = begun.number - row.attempts_before
    decision = decide(answer, number, settings.webhook_schedule, settings.webhook_jitter)
    telemetry.WEBHOOK_ATTEMPTS.labels(decision.state).inc()
    # The message may not have been made: then nothing has bound the job.
    log.info("webhook attempted", delivery_id=row.id, job_id=row.job_id, state=decision.state)
    noted = {"duration_ms": round(duration * 1000), **columns(answer)}
    for following in _written(worker, begun, decision, noted, quick=quick):
        with suppress(Unavailable):  # upkeep sends what is due
            worker.queue.deliver(following)


def _written(worker: Worker, begun: Begun, decision: Decision, noted: dict[str, object], *, quick: bool) -> list[str]:
    """Write how the attempt went, also when the database is away for a moment: what was received is not sent again."""

    def write(session: Session) -> list[str]:
        store.end_attempt(session, begun.delivery.id, begun.number, decision, **noted)
        return list(store.leave_receiver(session, begun, quick=quick))

    for pause in PAUSES:
        try:
            return worker.db.write(write)
        except Unavailable:
            time.sleep(pause)
    return worker.db.write(write)


@signals.worker_process_shutdown.connect(weak=False)
def wait_for_attempts(**_: object) -> None:
    """Before this process ends: give attempts under way the time to note how they went."""
    end = shutdown.deadline if shutdown.begun else time.time() + LAST_MOMENTS
    for thread in list(_under_way):
        thread.join(max(0.0, end - time.time()))
