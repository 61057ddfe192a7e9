"""What is answered about webhooks and their signing secrets."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from ansible_api.deliveries.model import Delivery, DeliveryAttempt


class Answer(BaseModel):
    """Times are UTC with `Z`."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class AttemptView(Answer):
    """One attempt: what was answered, or why nothing was; neither while it is under way."""

    number: int
    started_at: datetime
    duration_ms: int | None
    status: int | None = Field(description="of the receiver's answer")
    error: str | None = Field(description="why there was no answer")
    answer: str | None = Field(description="the first 1 kB; what cannot be shown is replaced")


class DeliveryView(Answer):
    """One webhook."""

    id: str = Field(description="its webhook-id, the same in every attempt")
    job_id: str
    url: str
    state: str = Field(description="waiting, pending, delivered or failed")
    sending: bool = Field(description="an attempt is under way")
    due_at: datetime | None = Field(description="when the next attempt is due; past: now, or when its receiver is free")
    created_at: datetime
    ended_at: datetime | None
    attempts: list[AttemptView]


class DeliveryList(Answer):
    items: list[DeliveryView]


class SecretView(Answer):
    """A signing secret, without its value."""

    id: str
    created_at: datetime


class SecretList(Answer):
    """The secrets that sign now, newest first."""

    items: list[SecretView]


class NewSecret(SecretView):
    """A signing secret that was just made."""

    secret: str = Field(description="shown this once; give it to your receiver's Standard Webhooks library")


def delivery_list(rows: Sequence[tuple[Delivery, Sequence[DeliveryAttempt]]]) -> DeliveryList:
    return DeliveryList(items=[delivery_view(row, attempts) for row, attempts in rows])


def delivery_view(row: Delivery, attempts: Sequence[DeliveryAttempt]) -> DeliveryView:
    sending = row.held_until is not None and row.held_until > datetime.now(UTC)  # else its sender has vanished
    return DeliveryView(
        id=row.id,
        job_id=row.job_id,
        url=row.url,
        state=row.state,
        sending=sending,
        due_at=None if sending else row.due_at,
        created_at=row.created_at,
        ended_at=row.ended_at,
        attempts=[AttemptView.model_validate(attempt) for attempt in attempts],
    )
