"""Callers of the service: submit at a pace, from one thread, until so many jobs are accepted; never give up early."""

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from tests.faults.installation import Installation


@dataclass(frozen=True)
class Answer:
    """What a submission got, and how long it took."""

    status: int
    seconds: float
    retry_after: str | None
    body: str = ""


def job(
    rig: Installation, *, seconds: float = 0.3, code: int = 0, ledger: str | None = None, **options: Any
) -> dict[str, Any]:
    """A job whose play notes its start and end in the ledger, and whose webhook goes to the sink."""
    inventory = {"type": "inline", "hosts": ["here"], "group_vars": {"all": {"ansible_connection": "local"}}}
    note = {"ledger": ledger or rig.ledger.host, "port": rig.ledger.port, "seconds": seconds, "code": code}
    return {
        "source": {"type": "playbook", "repo": str(rig.repo), "path": "site.yml"},
        "inventory": inventory,
        "extra_vars": note,
        "options": {"callback_url": rig.sink.url} | options,
    }


@dataclass
class Load:
    """Submits `count` jobs (for ever when None), at most `in_flight` accepted and not ended; ids by Idempotency-Key."""

    rig: Installation
    count: int | None
    make: Callable[[int], dict[str, Any]]
    pause: float = 0.05
    in_flight: int = 60
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    refused: int = 0  # connections: an API that was killed answers nothing
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def join(self, timeout: float = 600) -> None:
        assert self._thread is not None
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise AssertionError("jobs are not accepted any more")

    @property
    def done(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set() and (self.count is None or number < self.count):
            if self._full():
                self._stop.wait(0.5)
                continue
            self.submit(self.make(number))
            number += 1
            self._stop.wait(self.pause)

    def _full(self) -> bool:
        if len(self.accepted) < self.in_flight:
            return False
        with suppress(Exception):  # a database that is away counts nothing
            ended = self.rig.rows("SELECT COUNT(*) FROM $jobs WHERE finished_at IS NOT NULL")[0][0]
            return len(self.accepted) - int(ended) >= self.in_flight
        return False

    def submit(self, spec: dict[str, Any]) -> str | None:
        """Its id, however often that must be asked for; None: stopped before anybody had accepted it."""
        key = uuid.uuid4().hex
        while True:
            began = time.monotonic()
            try:
                with self.rig.client() as client:
                    answer = client.post("/api/v1/jobs", json=spec, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                self.refused += 1
            else:
                seconds = time.monotonic() - began
                text = "" if answer.is_success else answer.text
                kept = Answer(answer.status_code, seconds, answer.headers.get("Retry-After"), text)
                self.answers.append(kept)
                if 400 <= answer.status_code < 500:
                    raise AssertionError(f"refused: {answer.text}")
                if answer.status_code in (200, 202):
                    job_id = str(answer.json()["id"])
                    self.accepted[job_id] = spec
                    return job_id
            if self._stop.wait(0.1):
                return None
