"""Unit tests stay what they are: no network."""

import asyncio
import socket

import pytest


def test_a_unit_test_cannot_open_a_network_socket():
    # pytest-socket warns before it raises, and warnings are errors here.
    with pytest.raises(UserWarning, match=r"tried to use socket\.socket"):
        socket.socket(socket.AF_INET)


def test_a_unit_test_can_run_an_event_loop():
    asyncio.run(asyncio.sleep(0))
