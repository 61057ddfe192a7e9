"""Work that takes its time, and is left behind when the job is to end before."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from ansible_api.errors import JobError

T = TypeVar("T")
TICK = 0.25  # seconds between two looks at keep_going


def patiently(work: Callable[[], T], keep_going: Callable[[], bool]) -> T:
    """What `work` gives or raises, from a thread that must end by itself; JobError canceled.

    `work` must leave nothing behind: it may go on when its job has ended.
    """
    answers: queue.SimpleQueue[tuple[T] | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(),))
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            answers.put(error)

    threading.Thread(target=run, daemon=True, name="patience").start()
    while keep_going():
        try:
            answer = answers.get(timeout=TICK)
        except queue.Empty:
            continue
        if isinstance(answer, Exception):
            raise answer
        return answer[0]
    raise JobError("canceled", "the job was stopped while it was prepared")
