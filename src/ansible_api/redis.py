"""Connections to Redis: one address in the settings, three numbered databases behind it."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ansible_api.errors import StartupError

BROKER_DB, RESULT_DB, EVENT_DB = 0, 1, 2

# A dead or hung server costs a bounded wait, everywhere.
TIMEOUTS: dict[str, Any] = {"socket_connect_timeout": 2.0, "socket_timeout": 5.0, "health_check_interval": 30}
# A connection that a restart of the server has broken is made anew; redis-py itself would try eleven times, also what
# was not answered in time.
RETRIED = (redis.ConnectionError,)
# Everybody who follows a job or waits for one holds a connection, and redis-py's default is 100.
MAX_CONNECTIONS = 5000


def client(url: str) -> "redis.Redis":
    """Synchronous client of the events database."""
    retry = Retry(NoBackoff(), 1, supported_errors=RETRIED)
    return redis.Redis.from_url(with_db(url, EVENT_DB), retry=retry, **TIMEOUTS)


def async_client(url: str) -> "redis.asyncio.Redis":
    """Asynchronous client of the events database."""
    retry = AsyncRetry(NoBackoff(), 1, supported_errors=RETRIED)
    address = with_db(url, EVENT_DB)
    return redis.asyncio.Redis.from_url(address, retry=retry, max_connections=MAX_CONNECTIONS, **TIMEOUTS)


def with_db(url: str, db: int) -> str:
    """The address of a numbered database in redis-py's form."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?db={db}"  # urlunsplit would drop the empty host
    if parts.scheme in ("redis", "rediss"):
        return urlunsplit(parts._replace(path=f"/{db}"))
    raise StartupError("ANSIBLE_API_REDIS_URL: use redis://host:port, rediss://host:port or unix:///path")


def celery_url(url: str, db: int) -> str:
    """The address of a numbered database in Celery's form."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.path}?virtual_host={db}"
    return with_db(url, db)
