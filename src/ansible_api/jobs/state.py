"""The statuses of a job and the legal moves between them."""

from enum import StrEnum


class Status(StrEnum):
    """What is true of a job now; a wish (cancel) is a flag on the row, not a status."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"  # Ansible said no
    ERROR = "error"  # we could not run it
    CANCELED = "canceled"
    TIMED_OUT = "timed_out"
    LOST = "lost"  # the worker vanished after the play had begun

    @property
    def terminal(self) -> bool:
        return self not in (Status.QUEUED, Status.RUNNING)


TERMINAL = frozenset(status for status in Status if status.terminal)

LEGAL_MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELED, Status.ERROR}),
    Status.RUNNING: frozenset({Status.QUEUED, *TERMINAL}),
    **{status: frozenset[Status]() for status in TERMINAL},
}


def may_move(source: Status, target: Status) -> bool:
    """Whether a job may go from one status to the other."""
    return target in LEGAL_MOVES[source]


class Phase(StrEnum):
    """How far an attempt is; the time spent in each is kept on the job."""

    QUEUED = "queued"
    SOURCE = "source"
    DEPENDENCIES = "dependencies"
    INVENTORY = "inventory"
    STARTING = "starting"
    PLAYING = "playing"
    FINISHING = "finishing"


class LogStatus(StrEnum):
    """What became of the log of a job."""

    PENDING = "pending"
    STORED = "stored"  # every event that the play reported is in it
    PARTIAL = "partial"  # what is there is stored; its end may be missing
    FAILED = "failed"  # it could not be stored; tried again for a day
    EXPIRED = "expired"  # it has had its time, and the files of the play with it


class StopReason(StrEnum):
    """Why a running attempt must end before Ansible is done."""

    CANCELED = "canceled"
    TIMED_OUT = "timed_out"
    IDLE = "idle"
    LEASE_LOST = "lease_lost"
    SHUTDOWN = "shutdown"
