"""SQL of API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from ansible_api.db import now_plus
from ansible_api.errors import NotFound, Unauthenticated
from ansible_api.keys.digest import NewKey, key_id, make_key, matches
from ansible_api.keys.model import ApiKey, Role

# Every request asks this: plain columns, and a statement that is built once, cost half of what an entity does.
_LIVING = select(ApiKey.id, ApiKey.team, ApiKey.role, ApiKey.queues, ApiKey.digest).where(
    ApiKey.id == bindparam("wanted"),
    ApiKey.revoked_at.is_(None),
    ApiKey.expires_at.is_(None) | (ApiKey.expires_at > now_plus()),
)
DEAD_KEY = "unknown, expired or revoked API key: ask an admin of your team for a new one"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a key, and what the key may do."""

    key_id: str
    team: str
    role: Role
    queues: tuple[str, ...] | None


def create(
    session: Session,
    *,
    team: str,
    name: str,
    role: Role,
    queues: Sequence[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, NewKey]:
    """Make a key; the caller shows `NewKey.text` once and forgets it."""
    new = make_key()
    row = ApiKey(
        id=new.id,
        team=team,
        name=name,
        role=role,
        digest=new.digest,
        queues=list(queues) if queues is not None else None,
        created_at=now_plus(),
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row, new


def authenticate(session: Session, text: str) -> Holder:
    """Who holds the living key of that text; Unauthenticated says the same for every kind of dead one."""
    wanted = key_id(text)
    if wanted is None:
        raise Unauthenticated(DEAD_KEY)
    row = session.execute(_LIVING, {"wanted": wanted}).one_or_none()
    if row is None or not matches(text, row.digest):
        raise Unauthenticated(DEAD_KEY)
    return Holder(row.id, row.team, Role(row.role), None if row.queues is None else tuple(row.queues))


def list_keys(session: Session, team: str) -> Sequence[ApiKey]:
    return session.scalars(select(ApiKey).where(ApiKey.team == team).order_by(ApiKey.created_at)).all()


def revoke(session: Session, team: str, wanted: str) -> None:
    """Revoke a key of the team; twice is once."""
    found = session.execute(
        update(ApiKey)
        .where(ApiKey.team == team, ApiKey.id == wanted, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now_plus())
    )
    if found.rowcount == 0 and not _exists(session, team, wanted):  # type: ignore[attr-defined]
        raise NotFound("no such API key")


def _exists(session: Session, team: str, wanted: str) -> bool:
    return session.scalar(select(ApiKey.id).where(ApiKey.team == team, ApiKey.id == wanted)) is not None
