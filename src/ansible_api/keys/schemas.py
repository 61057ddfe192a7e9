"""What a request for an API key says, and what is answered about one."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from ansible_api.keys.model import Role
from ansible_api.routing import JOB_QUEUES, Queue

LATEST = datetime(9999, 1, 1, tzinfo=UTC)  # in every time zone still a year that databases know
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewApiKey(BaseModel):
    """The request for a key; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: KeyName
    role: Role = Role.SUBMITTER
    queues: list[Queue] | None = Field(
        None, max_length=len(JOB_QUEUES), description="that options.queue may name; none when absent"
    )
    expires_at: AwareDatetime | None = Field(None, lt=LATEST, description="with a time zone; never when absent")


class ApiKeyView(BaseModel):
    """An API key without the key."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str
    name: str
    team: str
    role: Role
    queues: list[Queue] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class ApiKeyList(BaseModel):
    items: list[ApiKeyView]


class MadeApiKey(ApiKeyView):
    """An API key that was just made."""

    key: str = Field(description="shown this once; send it as `Authorization: Bearer <key>`")
