"""Metrics of the queues, made of rows: every process of the API tells the same, whatever it has seen itself."""

import time
from collections.abc import Callable, Iterable, Mapping

import anyio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from ansible_api.db import AsyncDatabase
from ansible_api.deliveries.figures import waiting
from ansible_api.errors import AnsibleApiError
from ansible_api.jobs.figures import QueueFigures, of_queues
from ansible_api.logs import get_logger
from ansible_api.routing import Queue
from ansible_api.settings import QueueLimits

KEPT = 5.0  # seconds: several Prometheus servers cost one look
LIMIT = 2.0  # seconds that a scrape waits for the database
log = get_logger(__name__)

_GAUGES: Mapping[str, tuple[str, Callable[[QueueFigures], float]]] = {
    "ansible_api_queue_depth": ("What waits in a queue and may start", lambda seen: seen.depth),
    "ansible_api_queue_oldest_seconds": ("For how long the first of that has waited", lambda seen: seen.oldest),
    "ansible_api_workers": ("Workers that serve a queue", lambda seen: seen.workers),
    "ansible_api_slots": ("Slots of these workers", lambda seen: seen.slots),
    "ansible_api_slots_busy": ("Those of them that run a job, of whatever queue", lambda seen: seen.busy),
}


class QueueMetrics:
    """The figures in Prometheus' text format, read at most every KEPT seconds."""

    def __init__(self, db: AsyncDatabase, limits: Mapping[str, QueueLimits]) -> None:
        self._db, self._limits = db, limits
        self._turn = anyio.Lock()
        self._text, self._good_until = b"", 0.0

    async def text(self) -> bytes:
        """Empty while the database is away: what is not known is not told."""
        async with self._turn:
            if time.monotonic() >= self._good_until:
                self._text = await self._read()
                self._good_until = time.monotonic() + KEPT
            return self._text

    async def _read(self) -> bytes:
        with anyio.move_on_after(LIMIT):
            try:
                return as_text(await self._db.read(_figures, self._limits))
            except AnsibleApiError as error:
                log.warning("no figures of the queues", reason=error.detail)
                return b""
        log.warning("no figures of the queues", reason="the database did not answer in time")
        return b""


def _figures(session: Session, limits: Mapping[str, QueueLimits]) -> dict[Queue, QueueFigures]:
    figures = of_queues(session, limits)
    figures[Queue.DELIVERY].depth, figures[Queue.DELIVERY].oldest = waiting(session)
    return figures


def as_text(figures: Mapping[Queue, QueueFigures]) -> bytes:
    """What Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(_Families(figures))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, figures: Mapping[Queue, QueueFigures]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("ansible_api_jobs", "Jobs that wait and that run", labels=["queue", "status"])
        for queue, seen in self._figures.items():
            jobs.add_metric([queue, "queued"], seen.queued)
            jobs.add_metric([queue, "running"], seen.running)
        yield jobs
        for name, (meaning, value) in _GAUGES.items():
            family = GaugeMetricFamily(name, meaning, labels=["queue"])
            for queue, seen in self._figures.items():
                family.add_metric([queue], value(seen))
            yield family
