"""What is answered about webhooks and their signing secrets."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from ansible_api.deliveries.model import Delivery, DeliveryAttempt


class Answer(BaseModel):
    """Times are UTC with `Z`."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class AttemptView(Answer):
    """One attempt: what was answered, or why nothing was."""

    number: int
    started_at: datetime
    duration_ms: int | None
    status: int | None
    error: str | None
    answer: str | None = Field(description="the first 1 kB")


class DeliveryView(Answer):
    """One webhook."""

    id: str = Field(description="its webhook-id, the same in every attempt")
    url: str
    state: str = Field(description="waiting, pending, delivered or failed")
    due_at: datetime | None = Field(description="when the next attempt is due")
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
    return DeliveryList(items=[_view(row, attempts) for row, attempts in rows])


def _view(row: Delivery, attempts: Sequence[DeliveryAttempt]) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        url=row.url,
        state=row.state,
        due_at=row.due_at,
        created_at=row.created_at,
        ended_at=row.ended_at,
        attempts=[AttemptView.model_validate(attempt) for attempt in attempts],
    )
