"""A name server whose answers are never good for longer than one question, and change from one to the next."""

import itertools
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

A, AAAA = 1, 28
NO_SUCH_NAME = 3

Answers = Mapping[str, Sequence[Sequence[str]]]  # name → the sets of addresses that its questions get in turn


@contextmanager
def dns_server(address: tuple[str, int], answers: Answers) -> Iterator[None]:
    """Serve over UDP until the end of the block."""
    turns = {(name, kind): itertools.cycle(sets) for name, sets in answers.items() for kind in (A, AAAA)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(address)
        thread = threading.Thread(target=_serve, args=(server, turns), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.sendto(b"", server.getsockname())
            thread.join(5)


def _serve(server: socket.socket, turns: Mapping[tuple[str, int], Iterator[Sequence[str]]]) -> None:
    while True:
        question, client = server.recvfrom(512)
        if not question:  # sent by ourselves: the end
            return
        server.sendto(_answer(question, turns), client)


def _answer(question: bytes, turns: Mapping[tuple[str, int], Iterator[Sequence[str]]]) -> bytes:
    name, end = _name(question)
    (kind,) = struct.unpack("!H", question[end : end + 2])
    known = turns.get((name, kind))
    addresses = [ip_address(text) for text in (next(known) if known else ())]
    wanted = [address.packed for address in addresses if (A if address.version == 4 else AAAA) == kind]
    code = 0 if any(name == other for other, _ in turns) else NO_SUCH_NAME
    head = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(wanted), 0, 0)
    records = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(data)) + data for data in wanted]
    return head + question[12 : end + 4] + b"".join(records)


def _name(question: bytes) -> tuple[str, int]:
    labels, place = [], 12
    while length := question[place]:
        labels.append(question[place + 1 : place + 1 + length].decode())
        place += 1 + length
    return ".".join(labels).lower(), place + 1
