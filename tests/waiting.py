"""Waiting for a condition with a limit, so that no test sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T],
    timeout: float = 30,
    interval: float = 0.05,
    message: str = "the condition did not come true",
) -> T:
    """The first truthy value of the condition; AssertionError with the message and its last value after the limit."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{message} within {timeout:g} s; last value: {value!r}")
        time.sleep(interval)
    return value
