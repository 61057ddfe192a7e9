"""The task that attempts one webhook; the row says whether it is due and what follows."""

import time

from celery import shared_task
from pydantic import SecretStr
from sqlalchemy.orm import Session

from ansible_api import telemetry
from ansible_api.credentials.cipher import Cipher
from ansible_api.deliveries import store
from ansible_api.deliveries.model import Delivery
from ansible_api.deliveries.send import attempt, decide
from ansible_api.egress import Answer, Policy
from ansible_api.errors import AnsibleApiError
from ansible_api.jobs import store as jobs
from ansible_api.jobs.schemas import job_view
from ansible_api.logs import get_logger
from ansible_api.routing import TaskName
from ansible_api.settings import Settings
from ansible_api.tasks.worker import current

log = get_logger(__name__)


@shared_task(name=TaskName.DELIVER, acks_late=True)
def deliver(delivery_id: str) -> None:
    """Attempt a webhook if it is due; a repeated message does nothing."""
    worker = current()
    settings = worker.settings
    # The right to this attempt outlasts it: a sender that dies leaves the row due again later.
    begun = worker.db.write(_begin, worker.cipher, delivery_id, settings)
    if begun is None:
        return
    delivery, body, secrets = begun
    policy = Policy(allow_private=settings.private_egress, allow_loopback=settings.loopback_egress)
    start = time.monotonic()
    answer = attempt(delivery.url, delivery.id, body, secrets, policy=policy, timeout=settings.webhook_timeout)
    decision = decide(answer, delivery.attempts, settings.webhook_schedule, settings.webhook_jitter)
    telemetry.WEBHOOK_ATTEMPTS.labels(decision.state).inc()
    log.info("webhook attempted", delivery_id=delivery_id, job_id=delivery.job_id, state=decision.state)
    columns = {"duration_ms": round((time.monotonic() - start) * 1000), **_columns(answer)}
    worker.db.write(store.end_attempt, delivery_id, delivery.attempts, decision, **columns)


def _begin(
    session: Session, cipher: Cipher, delivery_id: str, settings: Settings
) -> tuple[Delivery, str, list[SecretStr]] | None:
    delivery = store.begin_attempt(session, delivery_id, hold=settings.webhook_timeout * 2)
    if delivery is None:
        return None
    job = jobs.get_of_team(session, delivery.team, delivery.job_id)
    totals = jobs.host_totals(session, [job.id]).get(job.id, (0, 0, 0))
    body = job_view(job, totals, base_url=settings.public_url or "").model_dump_json()
    return delivery, body, store.open_secrets(session, cipher, delivery.team)


def _columns(answer: Answer | AnsibleApiError) -> dict[str, object]:
    if isinstance(answer, AnsibleApiError):
        return {"error": answer.detail[:255]}
    return {"status": answer.status, "answer": answer.body.decode("utf-8", "replace")[:1024]}
