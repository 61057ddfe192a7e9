"""SQL of what waits for the workers of `delivery`: logs of ended jobs to be stored, and webhooks that are due."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ansible_api.db import now_plus
from ansible_api.deliveries.model import Delivery
from ansible_api.jobs.figures import age
from ansible_api.jobs.model import Job


def waiting(session: Session) -> tuple[int, float]:
    """How much there is, and for how many seconds the first of it has waited."""
    unclosed = select(func.count(), func.min(Job.finished_at), now_plus())
    unclosed = unclosed.where(Job.closed_at.is_(None), Job.finished_at.is_not(None))
    due = select(func.count(), func.min(Delivery.due_at), now_plus())
    due = due.where(Delivery.state == "pending", Delivery.due_at <= now_plus())
    rows = [session.execute(wanted).one() for wanted in (unclosed, due)]
    return sum(int(count) for count, _, _ in rows), max(age(now, first) for _, first, now in rows)
