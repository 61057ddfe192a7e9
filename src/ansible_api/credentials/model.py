"""The table of credentials."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from ansible_api.db import Base, UtcDateTime


class Kind(StrEnum):
    """What a credential holds."""

    SSH_KEY = "ssh_key"
    SSH_PASSWORD = "ssh_password"
    BECOME_PASSWORD = "become_password"
    VAULT_PASSWORD = "vault_password"
    GIT = "git"
    GALAXY_TOKEN = "galaxy_token"
    AWS = "aws"
    AZURE = "azure"
    GCP = "gcp"
    OPENSTACK = "openstack"
    HASHICORP_VAULT = "hashicorp_vault"
    HTTP = "http"
    ENVIRONMENT = "environment"


class Credential(Base):
    """One stored credential: its fields as one sealed document, and the data key that opens it, wrapped."""

    __tablename__ = "credentials"

    team: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    sealed: Mapped[bytes] = mapped_column(LargeBinary(1_000_000))
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary(255))
    key_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobSecret(Base):
    """A secret that came with a job, sealed as a credential is; gone when the job has ended."""

    __tablename__ = "job_secrets"

    job_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    place: Mapped[str] = mapped_column(String(128), primary_key=True)  # JSON Pointer into the request
    sealed: Mapped[bytes] = mapped_column(LargeBinary(1_000_000))
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary(255))
    key_version: Mapped[int] = mapped_column(Integer)
