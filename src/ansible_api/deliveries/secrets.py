"""SQL of signing secrets: sealed, the two newest of a team sign."""

from collections.abc import Sequence

from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ansible_api.credentials.cipher import Cipher, Sealed
from ansible_api.db import new_id, now_plus
from ansible_api.deliveries.model import WebhookSecret
from ansible_api.deliveries.signing import make_secret

VALID_SECRETS = 2


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
    newest_first = select(WebhookSecret).where(WebhookSecret.team == team).order_by(WebhookSecret.id.desc())
    return session.scalars(newest_first.limit(VALID_SECRETS)).all()


def open_secrets(session: Session, cipher: Cipher, team: str) -> list[SecretStr]:
    """The secrets that sign now, in clear."""
    return [SecretStr(_open(cipher, row).decode()) for row in list_secrets(session, team)]


def check_master_key(session: Session, cipher: Cipher) -> None:
    """Open one secret that signs of every key version; StartupError when the master key does not fit."""
    age = func.row_number().over(partition_by=WebhookSecret.team, order_by=WebhookSecret.id.desc())
    aged = select(WebhookSecret.id, WebhookSecret.key_version, age.label("age")).subquery()
    one_each = select(func.min(aged.c.id)).where(aged.c.age <= VALID_SECRETS).group_by(aged.c.key_version)
    for row in session.scalars(select(WebhookSecret).where(WebhookSecret.id.in_(one_each))):
        _open(cipher, row)


def _open(cipher: Cipher, row: WebhookSecret) -> bytes:
    return cipher.open(Sealed(row.sealed, row.wrapped_key, row.key_version), (row.team, row.id, "secret"))
