"""SQL of credentials: sealed on the way in, opened only by `resolve`."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ansible_api.credentials.cipher import Cipher, Sealed
from ansible_api.credentials.fields import Fields, revealed
from ansible_api.credentials.model import Credential, JobSecret, Kind
from ansible_api.credentials.schemas import NewCredential
from ansible_api.db import new_id, now_plus
from ansible_api.errors import Conflict, NotFound


def create(session: Session, cipher: Cipher, team: str, request: NewCredential) -> Credential:
    """Store a new credential; Conflict when the name is taken."""
    new = request.root
    row = _insert(session, cipher, team, new.name, new)
    if row is None:
        raise Conflict(f"there is a credential {new.name!r}: replace it with PUT, or choose another name")
    return row


def replace(session: Session, cipher: Cipher, team: str, name: str, fields: Fields) -> tuple[Credential, bool]:
    """Store a credential in the place of the one of that name; True when there was none."""
    if (row := _insert(session, cipher, team, name, fields)) is not None:
        return row, True
    row = session.get(Credential, (team, name), with_for_update=True)
    if row is None:
        raise Conflict(f"the credential {name!r} was removed at this moment: send the request again")
    sealed = _seal(cipher, team, row.id, fields)
    row.kind, row.updated_at = fields.kind, now_plus()
    row.sealed, row.wrapped_key, row.key_version = sealed.ciphertext, sealed.wrapped_key, sealed.key_version
    session.flush()
    session.refresh(row)
    return row, False


def _insert(session: Session, cipher: Cipher, team: str, name: str, fields: Fields) -> Credential | None:
    """The new row; None when the name is taken, also by one who asks at the same time."""
    credential_id = new_id("cred")
    sealed = _seal(cipher, team, credential_id, fields)
    row = Credential(
        team=team,
        name=name,
        id=credential_id,
        kind=fields.kind,
        sealed=sealed.ciphertext,
        wrapped_key=sealed.wrapped_key,
        key_version=sealed.key_version,
        created_at=now_plus(),
        updated_at=now_plus(),
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return None
    session.refresh(row)
    return row


def _seal(cipher: Cipher, team: str, credential_id: str, fields: Fields) -> Sealed:
    return cipher.seal(json.dumps(revealed(fields)).encode(), _context(team, credential_id))


def list_credentials(session: Session, team: str) -> Sequence[Credential]:
    return session.scalars(select(Credential).where(Credential.team == team).order_by(Credential.name)).all()


def remove(session: Session, team: str, name: str) -> None:
    row = session.get(Credential, (team, name))
    if row is None:
        raise NotFound("no such credential")
    session.execute(delete(Credential).where(Credential.team == team, Credential.name == name))


def kinds(session: Session, team: str, names: Sequence[str]) -> dict[str, Kind]:
    """Name → kind of those that exist."""
    if not names:
        return {}
    rows = session.execute(
        select(Credential.name, Credential.kind).where(Credential.team == team, Credential.name.in_(names))
    )
    return {name: Kind(kind) for name, kind in rows}


def names_of_kind(session: Session, team: str, kind: Kind) -> Sequence[str]:
    """The names of a team's credentials of a kind."""
    of_kind = select(Credential.name).where(Credential.team == team, Credential.kind == kind)
    return session.scalars(of_kind.order_by(Credential.name)).all()


def open_fields(session: Session, cipher: Cipher, team: str, name: str) -> tuple[Kind, dict[str, Any]] | None:
    """Kind and fields of a credential in clear; None when there is none of that name."""
    row = session.get(Credential, (team, name))
    if row is None:
        return None
    return Kind(row.kind), json.loads(cipher.open(_sealed(row), _context(team, row.id)))


def keep_for_job(session: Session, cipher: Cipher, team: str, job_id: str, place: str, fields: Fields) -> None:
    """Seal what a request carries at a place, for its job alone."""
    text = json.dumps({"kind": fields.kind, "fields": revealed(fields)})
    sealed = cipher.seal(text.encode(), _context_of_job(team, job_id, place))
    session.add(
        JobSecret(
            job_id=job_id,
            place=place,
            sealed=sealed.ciphertext,
            wrapped_key=sealed.wrapped_key,
            key_version=sealed.key_version,
        )
    )


def open_for_job(
    session: Session, cipher: Cipher, team: str, job_id: str, place: str
) -> tuple[Kind, dict[str, Any]] | None:
    """What `keep_for_job` kept; None when it was wiped."""
    row = session.get(JobSecret, (job_id, place))
    if row is None:
        return None
    document = json.loads(cipher.open(_sealed(row), _context_of_job(team, job_id, place)))
    return Kind(document["kind"]), document["fields"]


def wipe_of_job(session: Session, job_id: str) -> None:
    """Remove what `keep_for_job` kept."""
    session.execute(delete(JobSecret).where(JobSecret.job_id == job_id))


def check_master_key(session: Session, cipher: Cipher) -> None:
    """Open one credential of every key version; StartupError when the master key does not fit."""
    for version in session.scalars(select(JobSecret.key_version).distinct()):
        cipher.check_version(version)
    for version in session.scalars(select(Credential.key_version).distinct()):
        row = session.scalars(select(Credential).where(Credential.key_version == version).limit(1)).one()
        cipher.open(_sealed(row), _context(row.team, row.id))


def _sealed(row: Credential | JobSecret) -> Sealed:
    return Sealed(row.sealed, row.wrapped_key, row.key_version)


def _context(team: str, credential_id: str) -> tuple[str, ...]:
    return team, credential_id, "fields"


def _context_of_job(team: str, job_id: str, place: str) -> tuple[str, ...]:
    return team, job_id, place
