"""SQL of the workers that are there, and of the slots that they have."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ansible_api.db import now_plus, rows_changed
from ansible_api.jobs.model import Job, WorkerNode
from ansible_api.jobs.state import Status

SILENT_AFTER = 30.0  # seconds without a word, then a worker counts as gone
FORGOTTEN_AFTER = 3600.0
_THERE = WorkerNode.seen_at > now_plus(-SILENT_AFTER)
SERVING = (_THERE, WorkerNode.drain_at.is_(None), WorkerNode.slots > 0)  # jobs may begin there


def register(session: Session, node: str, queues: Sequence[str], slots: int) -> bool:
    """Say that a worker is there, and how many slots it offers: 0 when it leaves. True: it was told to take no more."""
    known = update(WorkerNode).where(WorkerNode.node == node)
    if rows_changed(session, known, {"seen_at": now_plus(), "slots": slots}) == 0:
        row = WorkerNode(node=node, queues=list(queues), slots=slots, started_at=now_plus(), seen_at=now_plus())
        session.add(row)
        session.execute(delete(WorkerNode).where(WorkerNode.seen_at < now_plus(-FORGOTTEN_AFTER)))
        return False
    return session.scalar(select(WorkerNode.drain_at).where(WorkerNode.node == node)) is not None


def forget(session: Session, node: str) -> None:
    """A worker has gone."""
    session.execute(delete(WorkerNode).where(WorkerNode.node == node))


def drain(session: Session, node: str) -> bool:
    """Have a worker take no more jobs; False: there is none of that name."""
    known = update(WorkerNode).where(WorkerNode.node == node)
    return rows_changed(session, known, {"drain_at": func.coalesce(WorkerNode.drain_at, now_plus())}) == 1


@dataclass(frozen=True, slots=True)
class Slots:
    """Of the workers that serve a queue: jobs that they can run at once, and that they run, of whatever queue."""

    workers: int
    all: int
    busy: int


def slots_of(session: Session, queue: str) -> Slots:
    seen = select(WorkerNode.node, WorkerNode.queues, WorkerNode.slots).where(*SERVING)
    there = [(node, slots) for node, queues, slots in session.execute(seen) if queue in queues]
    busy = held(session, [node for node, _ in there]) if there else 0
    return Slots(len(there), sum(slots for _, slots in there), busy)


def serving(session: Session, queue: str) -> list[WorkerNode]:
    """The workers of a queue that are there, also those that were told to take no more."""
    return [row for row in session.scalars(select(WorkerNode).where(_THERE)) if queue in row.queues]


def of_host(session: Session, host: str) -> Sequence[str]:
    """The workers of a host, whose names begin with it; also silent ones: after an outage all are."""
    return session.scalars(select(WorkerNode.node).where(WorkerNode.node.startswith(f"{host}:", autoescape=True))).all()


def held(session: Session, nodes: Sequence[str]) -> int:
    """How many jobs these workers run, of whatever queue."""
    node = func.substr(Job.lease_owner, 1, func.instr(Job.lease_owner, "/") - 1)  # as `tasks.worker.lease_owner`
    held = select(func.count()).select_from(Job).where(Job.status == Status.RUNNING, node.in_(nodes))
    return session.scalar(held) or 0
