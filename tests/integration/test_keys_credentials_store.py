"""The rows of API keys and credentials."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ansible_api.credentials import store as credentials
from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.model import Credential, Kind
from ansible_api.credentials.refs import Wanted
from ansible_api.credentials.resolve import Owner, load
from ansible_api.credentials.schemas import NewCredential
from ansible_api.credentials.secrets import GitLogin
from ansible_api.db import Database
from ansible_api.egress import Policy
from ansible_api.errors import Conflict, JobError, NotFound, StartupError, Unauthenticated
from ansible_api.keys import store as keys
from ansible_api.keys.model import ApiKey, Role
from ansible_api.routing import Queue
from tests.integration.conftest import MASTER_KEY

OTHER_KEY = MASTER_KEY.partition(":")[2][::-1].strip("=") + "="
CIPHER = Cipher.from_setting(SecretStr(MASTER_KEY))
PASSWORD = "canary-stored-password"


def new_key(db: Database, **more: object) -> tuple[str, str]:
    """Id and text of a key."""
    row, key = db.write(keys.create, **({"team": "red", "name": "ci", "role": Role.SUBMITTER} | more))
    return row.id, key.text


def store(db: Database, name: str = "prod", *, team: str = "red", cipher: Cipher = CIPHER, **fields: str) -> None:
    request = {"name": name, **({"kind": "become_password", "password": PASSWORD} | fields)}
    db.write(credentials.create, cipher, team, NewCredential.model_validate_json(json.dumps(request)))


# API keys


def test_a_key_tells_who_holds_it(db: Database) -> None:
    key_id, text = new_key(db, role=Role.ADMIN, queues=[Queue.DEFAULT], expires_at=datetime.now(UTC) + timedelta(1))
    holder = db.read(keys.authenticate, text)
    assert (holder.key_id, holder.team, holder.role, holder.queues) == (key_id, "red", Role.ADMIN, ("default",))


def test_every_dead_key_is_refused_in_the_same_words(db: Database) -> None:
    _, expired = new_key(db, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked_id, revoked = new_key(db)
    db.write(keys.revoke, "red", revoked_id)
    _, living = new_key(db)
    forged = living[:-1] + ("A" if living[-1] != "A" else "B")
    said = set()
    for text in (expired, revoked, forged, "aak_" + "0" * 24 + "_" + "x" * 43, "", "canary", living + "\n"):
        with pytest.raises(Unauthenticated) as caught:
            db.read(keys.authenticate, text)
        said.add(caught.value.detail)
    assert len(said) == 1
    assert db.read(keys.authenticate, living)


def test_revoking_twice_is_revoking_once_and_needs_the_team(db: Database) -> None:
    key_id, text = new_key(db)
    with pytest.raises(NotFound):
        db.write(keys.revoke, "blue", key_id)
    assert db.read(keys.authenticate, text)
    db.write(keys.revoke, "red", key_id)
    first = db.read(keys.list_keys, "red")[0].revoked_at
    db.write(keys.revoke, "red", key_id)
    assert db.read(keys.list_keys, "red")[0].revoked_at == first is not None


def test_keys_are_listed_per_team_and_only_as_digests(db: Database) -> None:
    key_id, text = new_key(db)
    new_key(db, team="blue")
    assert [key.id for key in db.read(keys.list_keys, "red")] == [key_id]
    rows = db.read(lambda session: session.execute(select(ApiKey.__table__)).all())
    assert text.split("_", 2)[2] not in str(rows)


# Credentials


def test_a_stored_credential_opens_and_lies_sealed(db: Database) -> None:
    store(db)
    assert db.read(credentials.open_fields, CIPHER, "red", "prod") == (
        Kind.BECOME_PASSWORD,
        {"password": PASSWORD},
    )
    [row] = db.read(lambda session: session.execute(select(Credential.__table__)).all())
    assert PASSWORD not in str(row)
    assert (row.kind, row.key_version) == ("become_password", 1)


def test_a_name_is_taken_within_its_team_only(db: Database) -> None:
    store(db)
    with pytest.raises(Conflict, match="replace it with PUT"):
        store(db, kind="vault_password")
    store(db, team="blue")
    db.write(credentials.remove, "red", "prod")
    assert db.read(credentials.list_credentials, "red") == []
    assert [row.name for row in db.read(credentials.list_credentials, "blue")] == ["prod"]


def test_another_teams_credential_is_not_there(db: Database) -> None:
    store(db)
    assert db.read(credentials.open_fields, CIPHER, "blue", "prod") is None
    assert db.read(credentials.kinds, "blue", ["prod"]) == {}
    assert db.read(credentials.kinds, "red", ["prod", "none"]) == {"prod": Kind.BECOME_PASSWORD}
    with pytest.raises(NotFound):
        db.write(credentials.remove, "blue", "prod")


def test_a_sealed_value_copied_to_another_row_does_not_open(db: Database) -> None:
    store(db)
    store(db, "mine", password="x")
    store(db, "theirs", team="blue", password="y")

    def copy(session: Session) -> None:
        source = session.get_one(Credential, ("red", "prod"))
        columns = {"sealed": source.sealed, "wrapped_key": source.wrapped_key}
        session.execute(update(Credential).where(Credential.id != source.id).values(**columns))

    db.write(copy)
    for team, name in (("red", "mine"), ("blue", "theirs")):
        with pytest.raises(StartupError):
            db.read(credentials.open_fields, CIPHER, team, name)
    assert db.read(credentials.open_fields, CIPHER, "red", "prod")


def test_a_start_with_the_wrong_master_key_is_refused(db: Database) -> None:
    db.read(credentials.check_master_key, Cipher.from_setting(SecretStr(f"1:{OTHER_KEY}")))  # nothing sealed yet
    store(db)
    db.read(credentials.check_master_key, CIPHER)
    for setting in (f"1:{OTHER_KEY}", MASTER_KEY.replace("1:", "2:", 1)):
        with pytest.raises(StartupError, match="ANSIBLE_API_MASTER_KEY"):
            db.read(credentials.check_master_key, Cipher.from_setting(SecretStr(setting)))


def test_old_and_new_credentials_open_while_the_master_key_changes(db: Database) -> None:
    store(db, "old")
    both = Cipher.from_setting(SecretStr(f"{MASTER_KEY},2:{OTHER_KEY}"))
    store(db, "new", cipher=both)
    db.read(credentials.check_master_key, both)
    for name in ("old", "new"):
        assert db.read(credentials.open_fields, both, "red", name)
    assert {row.name: row.key_version for row in db.read(credentials.list_credentials, "red")} == {"old": 1, "new": 2}
    with pytest.raises(StartupError):
        db.read(credentials.check_master_key, CIPHER)


def test_names_become_secrets_for_the_job(db: Database) -> None:
    store(db)
    request = {"name": "token", "kind": "git", "token": "canary-token", "username": "robot"}
    db.write(credentials.create, CIPHER, "red", NewCredential.model_validate_json(json.dumps(request)))
    refs = [
        Wanted("/credentials/become_password", "prod", frozenset({Kind.BECOME_PASSWORD})),
        Wanted("/source/git_credential", "token", frozenset({Kind.GIT, Kind.SSH_KEY})),
    ]
    loaded = db.read(load, CIPHER, Owner("red", "job-1"), refs)
    secrets = loaded.open(Policy(), 1)
    assert secrets.git("/source") == GitLogin("robot", SecretStr("canary-token"))
    assert sorted(secrets.values()) == sorted([PASSWORD, "canary-token"])
    assert "canary" not in repr(secrets) + repr(loaded)


def test_a_credential_deleted_since_the_job_was_accepted_ends_it_with_advice(db: Database) -> None:
    with pytest.raises(JobError, match="create it and submit again") as caught:
        db.read(load, CIPHER, Owner("red", "job-1"), [Wanted("/credentials/ssh", "gone", frozenset({Kind.SSH_KEY}))])
    assert caught.value.job_code == "credential_not_found"
