"""SQL of what fetching repositories has taken: those that are slow have workers of their own."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ansible_api.db import now_plus, rows_changed
from ansible_api.jobs.model import Repository

FORGOTTEN_AFTER = 30 * 86400.0  # seconds


def measured(session: Session, repo: str, seconds: float, *, slow_after: float) -> None:
    """Note how long a fetch took that found nothing in the cache; of repositories that never were slow none is kept."""
    values = {"seconds": seconds, "measured_at": now_plus()}
    known = update(Repository).where(Repository.sha256 == _digest(repo))
    if rows_changed(session, known, values) == 0 and seconds > slow_after:
        with suppress(IntegrityError), session.begin_nested():  # another worker has measured it at the same moment
            session.add(Repository(sha256=_digest(repo), **values))


def slowest(session: Session, repos: Iterable[str]) -> float:
    """How many seconds the slowest of some repositories took; 0: nothing is known of them."""
    known = (
        Repository.sha256.in_([_digest(repo) for repo in repos]),
        Repository.measured_at > now_plus(-FORGOTTEN_AFTER),
    )
    return session.scalar(select(func.max(Repository.seconds)).where(*known)) or 0.0


def _digest(repo: str) -> str:
    return hashlib.sha256(repo.encode()).hexdigest()
