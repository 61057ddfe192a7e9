"""Connections of the git subprocess: to the addresses that the worker has checked, and to nothing else."""

import socket
from collections.abc import Sequence


def connect(addresses: Sequence[str], port: int, timeout: float) -> socket.socket:
    """A connection to the first address that takes one; the others keep a fair share of the seconds. Else OSError."""
    trouble = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout / len(addresses))
        except OSError as error:
            trouble = error
    raise trouble


def reachable(addresses: Sequence[str], port: int, timeout: float) -> str:
    """The address that ssh is to use, as it takes only one; tried out only when there is a choice."""
    if len(addresses) == 1:
        return addresses[0]
    with connect(addresses, port, timeout) as probe:
        return str(probe.getpeername()[0])
