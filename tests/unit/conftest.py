"""Unit tests do no I/O: a socket that is not a unix socket fails the test."""

from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    disable_socket(allow_unix_socket=True)  # asyncio wakes its loop through one
    yield
    enable_socket()
