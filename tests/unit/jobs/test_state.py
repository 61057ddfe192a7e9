"""The statuses of a job."""

import itertools

import pytest

from ansible_api.jobs.state import TERMINAL, Status, may_move

LEGAL = {
    (Status.QUEUED, Status.RUNNING),
    (Status.QUEUED, Status.CANCELED),
    (Status.QUEUED, Status.ERROR),
    (Status.RUNNING, Status.QUEUED),
    *((Status.RUNNING, status) for status in TERMINAL),
}


@pytest.mark.parametrize(("source", "target"), [*itertools.product(Status, Status)])
def test_only_the_documented_moves_are_legal(source: Status, target: Status) -> None:
    assert may_move(source, target) == ((source, target) in LEGAL)


def test_a_job_that_has_ended_never_moves_again() -> None:
    assert {Status.SUCCESSFUL, Status.FAILED, Status.ERROR, Status.CANCELED, Status.TIMED_OUT, Status.LOST} == TERMINAL
    assert not any(may_move(status, target) for status in TERMINAL for target in Status)
