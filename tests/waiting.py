"""Waiting for a condition with a limit, so that no test sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
RAREST = 0.3  # seconds between two looks


def wait_for(
    condition: Callable[[], T],
    timeout: float = 30,
    interval: float = 0.05,
    message: str = "the condition did not come true",
) -> T:
    """The first truthy value of the condition; AssertionError with the message and its last value after the limit.

    What takes long is looked at less often: looking costs the processor on which it is waited for.
    """
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        if waited > timeout:
            raise AssertionError(f"{message} within {timeout:g} s; last value: {value!r}")
        time.sleep(max(interval, min(waited / 10, RAREST)))
    return value
