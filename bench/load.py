"""A light load generator, run in a process of its own: raw HTTP over kept-alive connections, JSON in, JSON out.

stdin: {"ports": […], "head": "…", "body": "…", "clients": 50, "count": 3000, "rate": null}. With a rate, requests are
due at fixed times and a late one counts from when it was due; without, each client asks again at once.
"""

import asyncio
import json
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes) -> int:
        """The status of the answer, once all of it is there."""
        self._status = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._status

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or not (length := LENGTH.search(self._received, 0, end)):
            return
        if len(self._received) == end + 4 + int(length[1]):
            status = int(self._received[9:12])
            self._received.clear()
            self._status.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._status.done():
            self._status.set_exception(error or ConnectionError("closed"))


async def main(order: dict[str, Any]) -> dict[str, Any]:
    """Put the load on, and say how it went."""
    loop = asyncio.get_running_loop()
    ports, clients, count = order["ports"], order["clients"], order["count"]
    connections = [
        (await loop.create_connection(Connection, "127.0.0.1", ports[number % len(ports)]))[1]
        for number in range(clients)
    ]
    request = f"{order['head']}\r\nContent-Length: {len(order['body'])}\r\n\r\n{order['body']}".encode()
    started = time.perf_counter()
    rate = order["rate"]
    dues = iter([started + number / rate if rate else None for number in range(count)])
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    await asyncio.gather(*(_client(each, request, dues, latencies, statuses) for each in connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.transport.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "latencies": latencies, "statuses": statuses, "cpu": cpu}


async def _client(
    connection: Connection,
    request: bytes,
    dues: Iterator[float | None],
    latencies: list[float],
    statuses: Counter[int],
) -> None:
    for due in dues:
        begin = time.perf_counter() if due is None else due
        await asyncio.sleep(max(0.0, begin - time.perf_counter()))
        statuses[await connection.ask(request)] += 1
        latencies.append(time.perf_counter() - begin)


if __name__ == "__main__":
    json.dump(asyncio.run(main(json.load(sys.stdin))), sys.stdout)
