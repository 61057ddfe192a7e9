"""The composition root of a worker child, and what it shares with its parent process."""

import logging
import mmap
import os
import queue
import socket
import struct
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import redis

from ansible_api import tracing
from ansible_api.celery import create_app
from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database
from ansible_api.dispatch import CeleryQueue, JobQueue
from ansible_api.execution.preparation import ExecutionConfig
from ansible_api.execution.workspace import sweep
from ansible_api.jobs.repairs import DeadAttempt
from ansible_api.redis import client
from ansible_api.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Worker:
    """All that a task needs."""

    settings: Settings
    db: Database
    redis: "redis.Redis"
    cipher: Cipher
    queue: JobQueue
    execution: ExecutionConfig
    owner: str


def create_worker(settings: Settings, node: str) -> Worker:
    """Build everything anew: a forked child must not use its parent's connections."""
    return Worker(
        settings=settings,
        db=Database(settings.database_url.get_secret_value()),
        redis=client(settings.redis_url.get_secret_value()),
        cipher=Cipher.from_setting(settings.master_key),
        queue=CeleryQueue(create_app(settings)),
        execution=ExecutionConfig.from_settings(settings),
        owner=lease_owner(node, os.getpid()),
    )


class _Process:
    """What this process has built; filled at its start, never at import."""

    worker: Worker | None = None
    node: str = ""


def node_name() -> str:
    """Names this worker process among all: lease owners begin with it, so that a parent knows its children's."""
    if not _Process.node:
        _Process.node = f"{socket.gethostname()}:{os.getpid()}:{int(time.time())}"
    return _Process.node


def start_child() -> None:
    """Build the worker of a fresh child; it may have taken the place of one that died and left its job's secrets."""
    settings = load_settings()
    tracing.start("ansible-api-worker")
    sweep(settings.state_dir / "work")
    _Process.worker = create_worker(settings, node_name())


def current() -> Worker:
    """The worker of this process."""
    if _Process.worker is None:
        start_child()
    assert _Process.worker is not None  # noqa: S101 - start_child has just set it
    return _Process.worker


# Held by whoever must not be copied in the middle of its work; every fork of this process waits for it.
_unforked = threading.RLock()


def _before_fork() -> None:
    _unforked.acquire()
    for handler in logging.getLogger().handlers:  # logging renews its own locks in a child, not those of a stream
        handler.acquire()


def _after_fork() -> None:
    for handler in logging.getLogger().handlers:
        handler.release()
    _unforked.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_unforked.release)


def unforked() -> AbstractContextManager[object]:
    """While it is held, no other thread forks this process.

    A child inherits every lock that another thread held, and nobody to release it: SQLite's idea of the process's file
    locks, the mutex of a pool of connections or of a metric. The whole worker stands while a fork waits: hold it for
    one call of the database or the broker, and not for work with files or the object store, of which a child makes
    everything anew.
    """
    return _unforked


# Attempts whose process is known to be dead; the parent notices, upkeep in the parent acts.
dead_attempts: "queue.SimpleQueue[DeadAttempt]" = queue.SimpleQueue()


def lease_owner(node: str, pid: int) -> str:
    """What a child writes into the leases of its jobs."""
    return f"{node}/{pid}"


class Shutdown:
    """A moment that the parent sets and its children see, through memory they share since the fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def begin(self, grace: float) -> None:
        """Running plays may go on for `grace` seconds; a second call means at once."""
        moment = time.time() + (0 if self.begun else grace)
        self._memory[:8] = struct.pack("d", moment)

    @property
    def deadline(self) -> float:
        """Unix time until which plays may run; 0: no shutdown is under way."""
        return float(struct.unpack("d", self._memory[:8])[0])

    @property
    def begun(self) -> bool:
        return self.deadline > 0

    @property
    def over(self) -> bool:
        return self.begun and time.time() >= self.deadline


shutdown = Shutdown()


class OneJob:
    """The attempt that a worker for one job alone has begun: its child says so, its parent sees it in shared memory."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.asked_for = False  # set before the first fork

    def begin(self, job_id: str, attempt: int) -> None:
        name = f"{job_id}.{attempt}".encode()
        self._memory[1 : 1 + len(name)] = name
        self._memory[0] = len(name)  # last: it says that all is there

    @property
    def attempt(self) -> tuple[str, int] | None:
        """The job's id and the number of its attempt; None before it has begun."""
        job_id, _, number = self._memory[1 : 1 + self._memory[0]].decode().rpartition(".")
        return (job_id, int(number)) if job_id else None

    @property
    def begun(self) -> bool:
        return self.attempt is not None

    @property
    def enough(self) -> bool:
        """Whether this process is to begin no other job."""
        return self.asked_for and self.begun


one_job = OneJob()
