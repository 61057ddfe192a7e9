"""The database as upkeep uses it: no fork comes in the middle of a call, and a break in its health is noticed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from ansible_api.db import Database
from ansible_api.errors import Unavailable
from ansible_api.processes import boot_time
from ansible_api.tasks.worker import unforked

P = ParamSpec("P")
T = TypeVar("T")
BETWEEN = 30.0  # seconds that may pass between two calls: a pause, or a repair that waits for something else


class WatchedDatabase(Database):
    """Shares the engine of another one."""

    def __init__(self, db: Database, lease: float) -> None:
        """A call longer than half a lease, in seconds, is an outage: workers could not renew theirs meanwhile."""
        self.engine, self._writes = db.engine, db._writes
        self._slow = lease / 2
        self._answered = 0.0
        self._healthy_since: float | None = None

    @property
    def healthy_for(self) -> float:
        """Seconds since when the database answered every call soon, and was called often; 0: it is away."""
        return 0.0 if self._healthy_since is None else boot_time() - self._healthy_since

    def write(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._watched():
            return super().write(work, *args, **kwargs)

    def read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._watched():
            return super().read(work, *args, **kwargs)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        began = boot_time()
        if began - self._answered > max(self._slow, BETWEEN):
            self._healthy_since = None
        try:
            with unforked():
                yield
        except Unavailable:
            self._healthy_since = None
            raise
        self._answered = boot_time()
        if self._healthy_since is None or self._answered - began > self._slow:
            self._healthy_since = self._answered
