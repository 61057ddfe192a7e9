"""SQL of webhooks: planned with the job, released at its end, attempted from rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from ansible_api.credentials.cipher import Cipher
from ansible_api.db import new_id, now_plus, rows_changed
from ansible_api.deliveries import receivers, secrets
from ansible_api.deliveries.model import Delivery, DeliveryAttempt, SlowReceiver
from ansible_api.egress import receiver_of
from ansible_api.errors import Conflict, NotFound
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import TERMINAL

VANISHED = "the sender vanished"
Outcome = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows an attempt: a final state, or another attempt after a pause in seconds."""

    state: Outcome
    pause: float | None = None


def plan(session: Session, cipher: Cipher, *, team: str, job_id: str, url: str) -> Delivery:
    """Make the delivery row of a new job; a team's first one also makes its signing secret."""
    if not secrets.list_secrets(session, team):
        secrets.create_secret(session, cipher, team)
    row = Delivery(
        id=new_id("msg"),
        job_id=job_id,
        team=team,
        url=url,
        receiver=receiver_of(url),
        state="waiting",
        created_at=now_plus(),
    )
    session.add(row)
    session.flush()
    return row


def release(session: Session, job_id: str) -> Sequence[str]:
    """Let the webhooks of a closed job fall due; returns their ids."""
    waiting = (Delivery.job_id == job_id, Delivery.state == "waiting")
    ids = session.scalars(select(Delivery.id).where(*waiting)).all()
    session.execute(update(Delivery).where(*waiting).values(state="pending", due_at=now_plus()))
    return ids


def held(session: Session, hold: float, limit: int = 100) -> Sequence[str]:
    """Webhooks that wait though their job is closed, or ended `hold` seconds ago with its log still not stored."""
    ended = and_(Job.status.in_(TERMINAL), or_(Job.closed_at.is_not(None), Job.finished_at < now_plus(-hold)))
    wanted = select(Delivery.id).join(Job, Job.id == Delivery.job_id).where(Delivery.state == "waiting", ended)
    return session.scalars(wanted.limit(limit)).all()


def release_held(session: Session, ids: Sequence[str]) -> int:
    """Let those that still wait fall due; returns how many did."""
    return _update(session, Delivery.id.in_(ids), Delivery.state == "waiting", state="pending", due_at=now_plus())


def due(session: Session, limit: int = 100) -> Sequence[str]:
    """What may be sent now: of a slow receiver only one, and none while it is busy with another."""
    theirs = (SlowReceiver.team == Delivery.team, SlowReceiver.receiver == Delivery.receiver)
    wanted = select(Delivery.id).outerjoin(SlowReceiver, and_(*theirs)).where(*_DUE, SlowReceiver.team.is_(None))
    ids = list(session.scalars(wanted.order_by(Delivery.due_at).limit(limit)).all())
    free = select(SlowReceiver.team, SlowReceiver.receiver).join(Delivery, and_(*theirs))
    free = free.where(*_DUE, SlowReceiver.busy_until <= now_plus()).group_by(SlowReceiver.team, SlowReceiver.receiver)
    lanes = session.execute(free.order_by(func.min(Delivery.due_at)).limit(limit)).all()
    return ids + [one for team, receiver in lanes for one in due_of(session, team, receiver, limit=1)]


def due_of(session: Session, team: str, receiver: str, *, limit: int) -> Sequence[str]:
    """The webhooks of one receiver that have waited longest."""
    wanted = select(Delivery.id).where(*_DUE, Delivery.team == team, Delivery.receiver == receiver)
    return session.scalars(wanted.order_by(Delivery.due_at).limit(limit)).all()


# Attempts


@dataclass(frozen=True, slots=True)
class Begun:
    """The right to one attempt; `slow`: its receiver is known to be."""

    delivery: Delivery
    slow: bool

    @property
    def number(self) -> int:
        return self.delivery.attempts


def begin_attempt(session: Session, delivery_id: str, hold: float, *, crowded: bool = False) -> Begun | None:
    """Take the right to the next attempt for `hold` seconds and note its start.

    None, and nothing changes: not due, or somebody has it, or its receiver is slow and busy with another one (or the
    sender is `crowded` with slow ones). Then it stays due, and is sent when the receiver is free.
    """
    row = session.get(Delivery, delivery_id)
    if row is None:
        return None
    slow = session.get(SlowReceiver, (row.team, row.receiver)) if row.receiver else None
    if slow is not None and (crowded or not receivers.take_lane(session, slow, delivery_id, hold)):
        return None
    if _update(session, Delivery.id == delivery_id, *_DUE, **_held(hold), attempts=Delivery.attempts + 1) == 0:
        if slow is not None:
            receivers.leave_lane(session, slow.team, slow.receiver, delivery_id)
        return None
    row = session.get_one(Delivery, delivery_id, populate_existing=True)
    _open_attempts(session, delivery_id, error=VANISHED)
    session.add(DeliveryAttempt(delivery_id=delivery_id, number=row.attempts, started_at=now_plus()))
    return Begun(row, slow is not None)


def end_attempt(session: Session, /, delivery_id: str, number: int, decision: Decision, **answer: Any) -> bool:
    """Note how an attempt went and what follows; False: another one has begun, or this one was noted before."""
    if not _open_attempts(session, delivery_id, DeliveryAttempt.number == number, **answer):
        return False
    ended = decision.pause is None
    latest = (Delivery.id == delivery_id, Delivery.attempts == number, Delivery.held_until.is_not(None))
    values = {
        "state": decision.state,
        "held_until": None,
        "due_at": None if decision.pause is None else now_plus(decision.pause),
        "ended_at": now_plus() if ended else None,
    }
    return _update(session, *latest, **values) == 1


def redeliver(session: Session, team: str, delivery_id: str) -> Delivery:
    """Have a webhook sent again at once, or sooner, with its schedule from the start; one being sent stays as it is.

    NotFound when it is absent or another team's; Conflict while it waits for the end of its job.
    """
    settled = Delivery.state.in_(("delivered", "failed"))
    idle = and_(Delivery.state == "pending", or_(Delivery.held_until.is_(None), Delivery.held_until <= now_plus()))
    ours = (Delivery.team == team, Delivery.id == delivery_id)
    anew = {"state": "pending", "attempts_before": Delivery.attempts, "ended_at": None}
    _update(session, *ours, settled | idle, **anew, due_at=now_plus(), held_until=None)
    row = get_of_team(session, team, delivery_id)
    if row.state == "waiting":
        raise Conflict("the webhook waits for the end of its job and for its log: it will be sent then")
    return row


def leave_receiver(session: Session, begun: Begun, *, quick: bool) -> Sequence[str]:
    """After an attempt: note whether its receiver is still slow; returns the webhooks that may go to it next.

    None, and nothing changes, when another attempt at this webhook has begun: then the lane is that one's.
    """
    team, receiver, mine = begun.delivery.team, begun.delivery.receiver, begun.delivery.id
    latest = select(Delivery.id).where(Delivery.id == mine, Delivery.attempts == begun.number).with_for_update()
    if receiver is None or session.scalar(latest) is None:
        return ()
    if quick:
        return due_of(session, team, receiver, limit=100) if receivers.forget(session, team, receiver, mine) else ()
    return due_of(session, team, receiver, limit=1) if receivers.leave_lane(session, team, receiver, mine) else ()


_DUE = (
    Delivery.state == "pending",
    Delivery.due_at <= now_plus(),
    or_(Delivery.held_until.is_(None), Delivery.held_until <= now_plus()),
)


def _held(hold: float) -> dict[str, Any]:
    return {"due_at": now_plus(hold), "held_until": now_plus(hold)}


def _open_attempts(session: Session, delivery_id: str, *guards: Any, **values: Any) -> int:
    """Write to the attempts of a webhook that have no end yet."""
    unended = (DeliveryAttempt.status.is_(None), DeliveryAttempt.error.is_(None))
    return rows_changed(
        session, update(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id, *unended, *guards), values
    )


def _update(session: Session, *guards: Any, **values: Any) -> int:
    return rows_changed(session, update(Delivery).where(*guards), values)


# Reading


def get_of_team(session: Session, team: str, delivery_id: str) -> Delivery:
    """The webhook, or NotFound when it is absent or another team's."""
    row = session.scalar(select(Delivery).where(Delivery.team == team, Delivery.id == delivery_id))
    if row is None:
        raise NotFound("no such webhook")
    return row


def attempts_of(session: Session, delivery_id: str) -> Sequence[DeliveryAttempt]:
    wanted = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id)
    return session.scalars(wanted.order_by(DeliveryAttempt.number)).all()


def unsettled(session: Session, job_ids: Collection[str]) -> Sequence[str]:
    """Those of the jobs that have a webhook which is still to be sent."""
    open_ones = (Delivery.job_id.in_(job_ids), Delivery.state.in_(("waiting", "pending")))
    return session.scalars(select(Delivery.job_id).where(*open_ones).distinct()).all()


def list_for_job(session: Session, job_id: str) -> Sequence[tuple[Delivery, Sequence[DeliveryAttempt]]]:
    deliveries = session.scalars(select(Delivery).where(Delivery.job_id == job_id).order_by(Delivery.id)).all()
    attempts = session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id.in_([row.id for row in deliveries]))
        .order_by(DeliveryAttempt.number)
    ).all()
    return [(row, [attempt for attempt in attempts if attempt.delivery_id == row.id]) for row in deliveries]
