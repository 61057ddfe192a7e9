"""SQL of webhooks: planned with the job, released at its end, attempted from rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy import CursorResult, and_, or_, select, update
from sqlalchemy.orm import Session

from ansible_api.credentials.cipher import Cipher, Sealed
from ansible_api.db import new_id, now_plus
from ansible_api.deliveries.model import Delivery, DeliveryAttempt, WebhookSecret
from ansible_api.deliveries.signing import make_secret
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import TERMINAL

VALID_SECRETS = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows an attempt: a final state, or another attempt after a pause in seconds."""

    state: str
    pause: float | None = None


def plan(session: Session, cipher: Cipher, *, team: str, job_id: str, url: str) -> Delivery:
    """Make the delivery row of a new job; a team's first one also makes its signing secret."""
    if not _secrets(session, team):
        create_secret(session, cipher, team)
    row = Delivery(id=new_id("msg"), job_id=job_id, team=team, url=url, state="waiting", created_at=now_plus())
    session.add(row)
    session.flush()
    return row


def release(session: Session, job_id: str) -> Sequence[str]:
    """Let the webhooks of a closed job fall due; returns their ids."""
    waiting = (Delivery.job_id == job_id, Delivery.state == "waiting")
    ids = session.scalars(select(Delivery.id).where(*waiting)).all()
    session.execute(update(Delivery).where(*waiting).values(state="pending", due_at=now_plus()))
    return ids


def release_held(session: Session, hold: float, limit: int = 100) -> Sequence[str]:
    """Release webhooks whose job is closed, or ended `hold` seconds ago with its log still not stored."""
    ended = and_(Job.status.in_(TERMINAL), or_(Job.closed_at.is_not(None), Job.finished_at < now_plus(-hold)))
    wanted = select(Delivery.job_id).join(Job, Job.id == Delivery.job_id).where(Delivery.state == "waiting", ended)
    return [released for job_id in session.scalars(wanted.limit(limit)).all() for released in release(session, job_id)]


def due(session: Session, limit: int = 100) -> Sequence[str]:
    wanted = select(Delivery.id).where(Delivery.state == "pending", Delivery.due_at <= now_plus())
    return session.scalars(wanted.order_by(Delivery.due_at).limit(limit)).all()


def begin_attempt(session: Session, delivery_id: str, hold: float) -> Delivery | None:
    """Take the right to the next attempt for `hold` seconds and note its start; None: not due, or somebody has it."""
    taken = session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.state == "pending", Delivery.due_at <= now_plus())
        .values(due_at=now_plus(hold), attempts=Delivery.attempts + 1)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(taken, CursorResult)  # noqa: S101 - tells mypy what an UPDATE returns
    if taken.rowcount == 0:
        return None
    row = session.get_one(Delivery, delivery_id, populate_existing=True)
    session.add(DeliveryAttempt(delivery_id=delivery_id, number=row.attempts, started_at=now_plus()))
    return row


def end_attempt(session: Session, /, delivery_id: str, number: int, decision: Decision, **answer: Any) -> None:
    """Note how an attempt went and what follows."""
    this = (DeliveryAttempt.delivery_id == delivery_id, DeliveryAttempt.number == number)
    session.execute(update(DeliveryAttempt).where(*this).values(**answer))
    ended = decision.pause is None
    session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.attempts == number)
        .values(
            state=decision.state,
            due_at=None if decision.pause is None else now_plus(decision.pause),
            ended_at=now_plus() if ended else None,
        )
    )


def list_for_job(session: Session, job_id: str) -> Sequence[tuple[Delivery, Sequence[DeliveryAttempt]]]:
    deliveries = session.scalars(select(Delivery).where(Delivery.job_id == job_id).order_by(Delivery.id)).all()
    attempts = session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id.in_([row.id for row in deliveries]))
        .order_by(DeliveryAttempt.number)
    ).all()
    return [(row, [attempt for attempt in attempts if attempt.delivery_id == row.id]) for row in deliveries]


# Signing secrets


def create_secret(session: Session, cipher: Cipher, team: str) -> tuple[WebhookSecret, SecretStr]:
    """Make a team's newest signing secret; the caller shows it once."""
    secret, secret_id = make_secret(), new_id("whs")
    sealed = cipher.seal(secret.get_secret_value().encode(), (team, secret_id, "secret"))
    row = WebhookSecret(
        id=secret_id,
        team=team,
        sealed=sealed.ciphertext,
        wrapped_key=sealed.wrapped_key,
        key_version=sealed.key_version,
        created_at=now_plus(),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row, secret


def list_secrets(session: Session, team: str) -> Sequence[WebhookSecret]:
    """The secrets that sign now, newest first."""
    return _secrets(session, team)


def open_secrets(session: Session, cipher: Cipher, team: str) -> list[SecretStr]:
    """The secrets that sign now, in clear."""
    return [
        SecretStr(cipher.open(Sealed(row.sealed, row.wrapped_key, row.key_version), (team, row.id, "secret")).decode())
        for row in _secrets(session, team)
    ]


def _secrets(session: Session, team: str) -> Sequence[WebhookSecret]:
    newest_first = select(WebhookSecret).where(WebhookSecret.team == team).order_by(WebhookSecret.id.desc())
    return session.scalars(newest_first.limit(VALID_SECRETS)).all()
