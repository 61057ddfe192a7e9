"""SQL of slow receivers: each has one lane, and whoever has it may send one webhook."""

from contextlib import suppress

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ansible_api.db import now_plus, rows_changed
from ansible_api.deliveries.model import Delivery, SlowReceiver

IDLE = 86_400.0  # seconds after which a receiver to which nobody has anything to send is forgotten


def mark_slow(session: Session, row: Delivery, hold: float) -> None:
    """An attempt takes long: until its receiver answers quickly again, it gets one webhook at a time.

    Nothing changes when the attempt has ended by now: nobody would give its lane back.
    """
    if row.receiver is None or not _under_way(session, row):
        return
    known = session.get(SlowReceiver, (row.team, row.receiver))
    if known is not None:
        take_lane(session, known, row.id, hold)
        return
    _forget_idle(session)
    lane = SlowReceiver(team=row.team, receiver=row.receiver, busy_until=now_plus(hold), busy_with=row.id)
    with suppress(IntegrityError), session.begin_nested():  # another attempt has said so at the same moment
        session.add(lane)


def _under_way(session: Session, row: Delivery) -> bool:
    """Whether the attempt that `row` tells of has no end yet; it gets none before this transaction's."""
    this = (Delivery.id == row.id, Delivery.attempts == row.attempts, Delivery.held_until.is_not(None))
    return session.scalar(select(Delivery.id).where(*this).with_for_update()) is not None


def _forget_idle(session: Session, limit: int = 100) -> None:
    """Keep the table small: it grows by slow receivers only, so whoever adds one looks for those to remove."""
    theirs = (Delivery.team == SlowReceiver.team, Delivery.receiver == SlowReceiver.receiver)
    expected = select(Delivery.id).where(*theirs, Delivery.state.in_(("waiting", "pending"))).exists()
    idle = SlowReceiver.busy_until < now_plus(-IDLE)
    found = select(SlowReceiver.team, SlowReceiver.receiver).where(idle, ~expected).limit(limit)
    for team, receiver in session.execute(found).all():
        rows_changed(session, delete(SlowReceiver).where(*_this(team, receiver), idle))


def take_lane(session: Session, slow: SlowReceiver, delivery_id: str, hold: float) -> bool:
    """Take the lane for `hold` seconds; False: another webhook has it, or the receiver is slow no more."""
    free = update(SlowReceiver).where(*_this(slow.team, slow.receiver), SlowReceiver.busy_until <= now_plus())
    return rows_changed(session, free, {"busy_until": now_plus(hold), "busy_with": delivery_id}) == 1


def leave_lane(session: Session, team: str, receiver: str, delivery_id: str) -> bool:
    """Let the next one have the lane; False: it was another webhook's."""
    ours = update(SlowReceiver).where(*_this(team, receiver), SlowReceiver.busy_with == delivery_id)
    return rows_changed(session, ours, {"busy_until": now_plus()}) == 1


def forget(session: Session, team: str, receiver: str, delivery_id: str) -> bool:
    """The webhook in the lane was answered quickly: its receiver is slow no more. False: it had no lane."""
    ours = delete(SlowReceiver).where(*_this(team, receiver), SlowReceiver.busy_with == delivery_id)
    return rows_changed(session, ours) == 1


def _this(team: str, receiver: str) -> tuple[ColumnElement[bool], ...]:
    return SlowReceiver.team == team, SlowReceiver.receiver == receiver
