"""Work that a job waits for, and does not."""

import threading
import time

import pytest
from tests.waiting import wait_for

from ansible_api.errors import JobError
from ansible_api.execution.patience import patiently


def test_what_the_work_gives_or_raises() -> None:
    assert patiently(lambda: None, lambda: True) is None
    error = JobError("inventory_invalid", "no")
    assert patiently(lambda: error, lambda: True) is error  # an answer like any other

    def fail() -> None:
        raise error

    with pytest.raises(JobError, match="no"):
        patiently(fail, lambda: True)


def test_a_job_that_is_to_end_does_not_wait_for_the_work() -> None:
    ended = threading.Event()
    began = time.monotonic()
    with pytest.raises(JobError) as caught:
        patiently(lambda: ended.wait(30), lambda: time.monotonic() < began + 0.1)
    assert caught.value.job_code == "canceled"
    assert time.monotonic() - began < 2
    ended.set()
    wait_for(lambda: "patience" not in [thread.name for thread in threading.enumerate()])
