"""A worker's publisher without a play, run in a process of its own.

stdin: {"redis": "…", "objects": "…", "spool": "…", "job": "…", "count": 100000}. Prints what it took once all is sent.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from ansible_api.events.publish import Publisher
from ansible_api.events.types import Event
from ansible_api.objects.directory import DirectoryStore
from ansible_api.redis import client

HOT_LIMIT = 4 * 1024 * 1024
STDOUT = "ok: [web{}] => (item={}) => " + "x" * 165  # with its newline some 200 bytes


def main(order: dict[str, Any]) -> dict[str, float]:
    """Append as fast as the spool takes it, then wait until all is published."""
    objects = DirectoryStore(Path(order["objects"]))
    started = time.perf_counter()
    with client(order["redis"]) as redis:
        publisher = Publisher(
            redis,
            lambda key, data: asyncio.run(objects.put(key, data)),
            job_id=order["job"],
            attempt=1,
            spool=Path(order["spool"]),
            hot_limit=HOT_LIMIT,
        )
        with publisher:
            for seq in range(1, order["count"] + 1):
                publisher.append(_event(seq))
                if seq % 1000 == 0:  # a play is never more than some seconds ahead
                    _keep_near(publisher)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024}


def _keep_near(publisher: Publisher) -> None:
    while publisher.behind > 8 * 1024 * 1024:
        time.sleep(0.01)


def _event(seq: int) -> Event:
    return Event(
        seq=seq,
        time="2026-01-15T10:00:00.000000Z",
        type="runner_item_on_ok",
        stdout=STDOUT.format(seq % 100, seq),
        play="Configure web servers",
        task="Install packages",
        host=f"web{seq % 100}",
        result={"changed": False, "item": seq, "ansible_loop_var": "item"},
    )


if __name__ == "__main__":
    json.dump(main(json.load(sys.stdin)), sys.stdout)
