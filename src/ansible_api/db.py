"""Database access: engines, transactions that retry as a whole, UTC times and the database's own clock.

A store function takes a `Session` as its first argument and never commits. `Database.write(store.claim, …)` runs it
in a transaction of a worker, `await AsyncDatabase.write(store.claim, …)` in one of the API.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    CursorResult,
    DateTime,
    Delete,
    Engine,
    MetaData,
    Update,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from ansible_api.errors import StartupError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

# Lock wait timeout, deadlock, and "record has changed since last read" (MariaDB ≥ 11.6.2): the unit is repeated.
RETRIED_CODES = frozenset({1205, 1213, 1020})
TRIES = 5
PING_AFTER = 1.0
# A process that stops, or is cut off, in the middle of a transaction holds its locks for no longer: otherwise nobody
# could end its job's lease before TCP gives the connection up, hours later.
IDLE_TRANSACTION = 10  # seconds
# How long a server may be silent before it counts as away. A job waits longer than a lock may take; behind the API a
# caller waits, who may come again, and behind the main process of a worker its forks and its sign of life.
SILENCE, SHORT_SILENCE = 60, 10  # seconds


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time with microseconds."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class now_plus(FunctionElement[datetime]):  # noqa: N801 - reads as an SQL function
    """The database's clock, some seconds from now: the one clock that all workers share."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[float] = 0) -> None:
        super().__init__(seconds)


@compiles(now_plus, "sqlite")
def _now_plus_sqlite(element: now_plus, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    # SQLite's clock has milliseconds; SQLAlchemy reads six digits.
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


@compiles(now_plus, "mysql", "mariadb")
def _now_plus_mariadb(element: now_plus, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(UTC_TIMESTAMP(6) + INTERVAL {compiler.process(element.clauses, **kw)} SECOND)"


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )


def new_id(prefix: str) -> str:
    """A unique id that sorts by time: prefix, then 48 bits of milliseconds and 64 random bits in base 32."""
    return _id(prefix, time.time_ns() // 1_000_000, secrets.randbits(64))


def first_id(prefix: str, moment: datetime) -> str:
    """The smallest id that can have been made at a moment: ids of earlier ones are smaller, all others are not."""
    return _id(prefix, min(max(int(moment.timestamp() * 1000), 0), 2**48 - 1), 0)


def _id(prefix: str, milliseconds: int, random: int) -> str:
    number, digits = milliseconds << 64 | random, "0123456789abcdefghjkmnpqrstvwxyz"
    return f"{prefix}-" + "".join(digits[number >> shift & 31] for shift in range(110, -1, -5))


class Database:
    """Transactions for synchronous code."""

    def __init__(self, url: str, *, pool_size: int = 2, silence: int | None = SILENCE) -> None:
        """`silence`: seconds that a statement may take; None: as long as it does, as the DDL of a large table."""
        self.engine = _engine(url, pool_size, silence)
        self._writes = self.engine.execution_options(sqlite_begin="IMMEDIATE")

    def write(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction; on a lock conflict all of it is repeated. Unavailable: no database."""
        for attempt in range(1, TRIES + 1):
            try:
                with Session(self._writes, expire_on_commit=False) as session, session.begin():
                    return work(session, *args, **kwargs)
            except SQLAlchemyError as error:
                if not _worth_repeating(error, attempt):
                    raise _translated(error) from error
                time.sleep(_pause(attempt))
        raise AssertionError("unreachable")

    def read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work`, which only reads."""
        try:
            with Session(self.engine, expire_on_commit=False) as session:
                return work(session, *args, **kwargs)
        except SQLAlchemyError as error:
            raise _translated(error) from error

    def close(self) -> None:
        self.engine.dispose()


class AsyncDatabase:
    """The same transactions for the API's asynchronous code."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine = _async_engine(url, pool_size)
        self._writes = self.engine.execution_options(sqlite_begin="IMMEDIATE")

    async def write(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Database.write`."""
        import asyncio

        for attempt in range(1, TRIES + 1):
            try:
                async with AsyncSession(self._writes, expire_on_commit=False) as session, session.begin():
                    return await session.run_sync(work, *args, **kwargs)
            except SQLAlchemyError as error:
                if not _worth_repeating(error, attempt):
                    raise _translated(error) from error
                await asyncio.sleep(_pause(attempt))
        raise AssertionError("unreachable")

    async def read(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Database.read`."""
        try:
            async with AsyncSession(self.engine, expire_on_commit=False) as session:
                return await session.run_sync(work, *args, **kwargs)
        except SQLAlchemyError as error:
            raise _translated(error) from error

    async def close(self) -> None:
        await self.engine.dispose()


def _worth_repeating(error: SQLAlchemyError, attempt: int) -> bool:
    if attempt == TRIES or not isinstance(error, OperationalError) or error.orig is None:
        return False
    code = error.orig.args[0] if error.orig.args else None
    return code in RETRIED_CODES or "database is locked" in str(error.orig)


def _pause(attempt: int) -> float:
    return float(0.01 * 2**attempt) * (0.5 + secrets.randbelow(1000) / 1000)


def _translated(error: SQLAlchemyError) -> Exception:
    if isinstance(error, PoolTimeout):
        return Unavailable("the database is busy; try again shortly", headers={"Retry-After": "2"})
    if isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error, OperationalError)):
        return Unavailable("the database is away; try again shortly", headers={"Retry-After": "5"})
    return error


def read_of_one_moment(session: Session) -> None:
    """Let a transaction that only reads see no commit of others that comes after its first look; call it first."""
    if session.get_bind().dialect.name != "sqlite":  # there every transaction is so
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def rows_changed(session: Session, statement: Update | Delete, values: Mapping[str, Any] | None = None) -> int:
    """Run it; zero is an answer: it was not so any more."""
    if isinstance(statement, Update):
        statement = statement.values(values or {})
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 - tells mypy what an UPDATE returns
    return result.rowcount


def database_url(text: str, *, asynchronous: bool = False) -> URL:
    """`mysql://…` or `sqlite:///…` with the driver that this project uses for it."""
    try:
        url = make_url(text)
    except SQLAlchemyError:
        raise StartupError(
            "ANSIBLE_API_DATABASE_URL is not a URL: use mysql://user:password@host/name or sqlite:///path"
        ) from None
    match url.get_backend_name():
        case "mysql" | "mariadb":
            driver = "mysql+asyncmy" if asynchronous else "mysql+pymysql"
            return url.set(drivername=driver).update_query_dict({"charset": "utf8mb4"})
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite" if asynchronous else "sqlite+pysqlite")
        case other:
            raise StartupError(f"ANSIBLE_API_DATABASE_URL: no support for {other}; use mysql:// or sqlite:///")


def _options(url: URL, pool_size: int, silence: int | None) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"pool_size": pool_size, "max_overflow": 0, "pool_timeout": 10, "connect_args": {"timeout": 10}}
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED", "pool_recycle": 1800}
    return options | {
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "pool_timeout": 5,
        "connect_args": {
            "connect_timeout": 5,
            "read_timeout": silence,
            "init_command": f"SET SESSION idle_transaction_timeout = {IDLE_TRANSACTION}",
        },
    }


def _engine(text: str, pool_size: int, silence: int | None) -> Engine:
    url = database_url(text)
    engine = create_engine(url, **_options(url, pool_size, silence))
    _prepare(engine)
    return engine


def _async_engine(text: str, pool_size: int) -> AsyncEngine:
    url = database_url(text, asynchronous=True)
    engine = create_async_engine(url, **_options(url, pool_size, SHORT_SILENCE))
    _prepare(engine.sync_engine)
    return engine


def _prepare(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    else:
        _ping_idle_connections(engine)


def _ping_idle_connections(engine: Engine) -> None:
    """Ask a connection whether it lives before it is used again: a round trip, so only when it rested for a while."""

    def checkout(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("used_at", 0) < PING_AFTER:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error

    def checkin(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    event.listen(engine, "checkout", checkout)
    event.listen(engine, "checkin", checkin)


def _sqlite_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # this module says BEGIN itself
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # A deferred transaction that turns into a write fails at once when another one writes: writers queue up at BEGIN.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")
