"""The tables of webhooks."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ansible_api.db import Base, UtcDateTime


class Delivery(Base):
    """One webhook to one URL; `id` is its webhook-id, the same over all attempts.

    The row is made with the job, in one transaction, so no end of the job can miss it.
    `state`: waiting (for the job's end and log) → pending (due at `due_at`) → delivered | failed, and from there back
    to pending when somebody wants it again.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(None, "state", "due_at"),
        Index(None, "job_id"),
        Index(None, "team", "receiver", "state", "due_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    team: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(Text)
    receiver: Mapped[str | None] = mapped_column(String(280))  # scheme, host and port of the URL
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    attempts_before: Mapped[int] = mapped_column(
        Integer, default=0, server_default="0"
    )  # the schedule starts after them
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    held_until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # an attempt is under way, if its sender lives
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DeliveryAttempt(Base):
    """One attempt to deliver: what was answered, or why nothing was."""

    __tablename__ = "delivery_attempts"

    delivery_id: Mapped[str] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(String(255))
    answer: Mapped[str | None] = mapped_column(Text)  # the first 1 kB


class SlowReceiver(Base):
    """A receiver that kept an attempt waiting: it gets one webhook at a time, until it answers quickly again.

    By team, so that none can slow down another's webhooks to an address that they share.
    """

    __tablename__ = "slow_receivers"

    team: Mapped[str] = mapped_column(String(64), primary_key=True)
    receiver: Mapped[str] = mapped_column(String(280), primary_key=True)
    busy_until: Mapped[datetime] = mapped_column(UtcDateTime)  # the attempt under way has the lane for so long
    busy_with: Mapped[str] = mapped_column(String(40))  # the delivery under way


class WebhookSecret(Base):
    """A team's signing secret, sealed; the two newest sign, so that receivers can rotate."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (Index(None, "team", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    team: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary(1024))
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary(255))
    key_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
