"""Many who ask the same at once are answered by one question, and never by one that was asked before they came."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.waiting import wait_for

from ansible_api.execution.git_cache import pause
from ansible_api.execution.git_sharing import shared


def never() -> None:
    raise AssertionError("had to wait")


class Server:
    """Answers with the number of the question, each when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = threading.Event()

    def ask(self) -> str:
        self.asked += 1
        number = self.asked
        assert self.open.wait(30)
        return str(number)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(100) as pool:
        yield pool


def test_who_asks_alone_is_answered(tmp_path: Path):
    assert shared(tmp_path, "q", lambda: "answer", never) == "answer"


def test_an_earlier_answer_is_not_given_to_who_comes_later(tmp_path: Path, server: Server):
    server.open.set()
    assert [shared(tmp_path, "q", server.ask, never) for _ in range(3)] == ["1", "2", "3"]


def test_all_who_wait_share_the_next_answer(tmp_path: Path, server: Server, pool: ThreadPoolExecutor):
    waiting = threading.Semaphore(0)

    def wait() -> None:
        waiting.release()
        pause()

    first = pool.submit(shared, tmp_path, "q", server.ask, pause)
    wait_for(lambda: server.asked == 1)
    others = [pool.submit(shared, tmp_path, "q", server.ask, wait) for _ in range(50)]
    for _ in others:
        assert waiting.acquire(timeout=30)
    server.open.set()
    assert first.result(30) == "1"
    # The first answer had been asked for before they came; one of them asked for all.
    assert {other.result(30) for other in others} == {"2"}
    assert server.asked == 2


def test_another_question_in_the_same_file_is_not_waited_for(tmp_path: Path, server: Server, pool: ThreadPoolExecutor):
    first = pool.submit(shared, tmp_path, "0", server.ask, pause)
    wait_for(lambda: server.asked == 1)
    # There are 256 files: among these some share the first one's.
    assert [shared(tmp_path, str(number), lambda: "own", never) for number in range(1, 2000)] == ["own"] * 1999
    server.open.set()
    assert first.result(30) == "1"
    assert len(list(tmp_path.iterdir())) <= 256


def test_what_goes_wrong_for_one_is_asked_again_by_the_next(tmp_path: Path):
    def fail() -> str:
        raise RuntimeError("trouble")

    with pytest.raises(RuntimeError):
        shared(tmp_path, "q", fail, never)
    assert shared(tmp_path, "q", lambda: "answer", never) == "answer"


def test_who_waits_can_give_up(tmp_path: Path, server: Server, pool: ThreadPoolExecutor):
    first = pool.submit(shared, tmp_path, "q", server.ask, pause)
    wait_for(lambda: server.asked == 1)
    with pytest.raises(AssertionError, match="had to wait"):
        shared(tmp_path, "q", server.ask, never)
    server.open.set()
    assert first.result(30) == "1"


def test_a_killed_asker_leaves_the_question_to_the_next(tmp_path: Path):
    reader, writer = multiprocessing.Pipe(duplex=False)
    asker = multiprocessing.get_context("fork").Process(target=_ask_and_hang, args=(tmp_path, writer.send))
    asker.start()
    assert reader.recv() == "asking"
    os.kill(asker.pid or 0, signal.SIGKILL)
    asker.join(30)
    assert shared(tmp_path, "q", lambda: "answer", pause) == "answer"
    reader.close()
    writer.close()
    asker.close()


@pytest.mark.parametrize("text", [b"", b"[", b"\xff", b"{}", b"null", b'["q", "later", "answer"]', b"[1, 2]"])
def test_a_damaged_file_is_no_answer(tmp_path: Path, text: bytes):
    shared(tmp_path, "q", lambda: "old", never)
    (file,) = tmp_path.iterdir()
    file.write_bytes(text)
    assert shared(tmp_path, "q", lambda: "answer", never) == "answer"


def _ask_and_hang(directory: Path, tell: Callable[[str], None]) -> None:
    def ask() -> str:
        tell("asking")
        signal.pause()
        return "never"

    shared(directory, "q", ask, never)
