"""How many rows a guarded statement changed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CursorResult, Delete, Update
from sqlalchemy.orm import Session


def rows_changed(session: Session, statement: Update | Delete, values: Mapping[str, Any] | None = None) -> int:
    """Run it; zero is an answer: it was not so any more."""
    if isinstance(statement, Update):
        statement = statement.values(values or {})
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 - tells mypy what an UPDATE returns
    return result.rowcount
