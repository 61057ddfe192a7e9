"""A shared directory whose server has gone hangs for ever in the kernel, and holds nobody here."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ansible_api.errors import Unavailable
from ansible_api.execution.artifacts import Artifact, Artifacts
from ansible_api.objects import ObjectStore, directory, put_in_time, threads, with_store
from ansible_api.settings import Settings
from ansible_api.tasks import artifacts
from ansible_api.tasks.artifacts import keep_artifacts

KEY = "jobs/job-1/log.txt"
SOON = 3.0  # seconds, on a busy machine


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database_url="sqlite://", redis_url="redis://", master_key="1:", objects_dir=tmp_path / "objects")


@pytest.fixture
def stuck(settings: Settings) -> Iterator[Path]:
    """An object whose opening hangs: a fifo that nobody writes to."""
    with_store(settings, lambda store: store.put(KEY, b"x"))
    assert settings.objects_dir is not None
    path = settings.objects_dir / KEY
    path.unlink()
    os.mkfifo(path)
    yield path
    if path.is_fifo():
        release(path)


def release(fifo: Path) -> None:
    """Let everybody go on who hangs at the fifo, until every thread is free."""
    writing = os.open(fifo, os.O_RDWR)
    together = threading.Barrier(threads.MOST)
    for call in [threads.submit(together.wait) for _ in range(threads.MOST)]:
        call.result(30)
    os.close(writing)


@pytest.fixture
def end_of_hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Writing hangs when an object is in its place, until this is set."""
    event = threading.Event()
    monkeypatch.setattr(directory.unfinished, "sync_directory", lambda _: event.wait(30))
    yield event
    event.set()


async def read(store: ObjectStore) -> bytes:
    return b"".join([block async for block in store.get(KEY)])


def refused(settings: Settings, work: Callable[[ObjectStore], Awaitable[object]]) -> float:
    """Seconds until the store was Unavailable."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        with_store(settings, work)
    return time.monotonic() - began


def test_reading_ends(settings: Settings, stuck: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "CALL_LIMIT", 0.3)
    assert refused(settings, read) < SOON


def test_writing_ends(settings: Settings, end_of_hang: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(settings, lambda store: put_in_time(store, KEY, b"x", 0.3)) < SOON
    monkeypatch.setattr(directory, "CALL_LIMIT", 0.3)
    assert refused(settings, lambda store: store.put(KEY, b"x")) < SOON


def test_writing_much_may_take_longer(
    settings: Settings, end_of_hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "CALL_LIMIT", 1.0)
    threading.Timer(2.0, end_of_hang.set).start()
    assert with_store(settings, lambda store: store.put(KEY, bytes(30 * directory.SLOWEST))).size > 0


def test_opening_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(directory, "OPEN_LIMIT", 0.3)
    monkeypatch.setattr(directory.unfinished, "sweep", lambda _: hangs.wait(30))
    assert refused(settings, lambda store: store.size(KEY)) < SOON
    hangs.set()


def test_what_hangs_does_not_add_up_and_ends_with_the_hang(
    settings: Settings, stuck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "CALL_LIMIT", 0.02)
    monkeypatch.setattr(directory, "OPEN_LIMIT", 0.1)
    before = {thread.ident for thread in threading.enumerate() if thread.name != "objects"}
    for _ in range(3 * threads.MOST):
        refused(settings, read)
    new = [thread for thread in threading.enumerate() if thread.ident not in before]
    assert len(new) <= threads.MOST
    assert all(thread.daemon for thread in new)
    monkeypatch.undo()
    release(stuck)
    stuck.unlink()
    with_store(settings, lambda store: store.put(KEY, b"well again"))
    assert with_store(settings, read) == b"well again"


FORKING = """
import os, sys, time
from pathlib import Path
from ansible_api.objects import directory, threads, with_store
from ansible_api.settings import Settings
settings = Settings(database_url="x", redis_url="x", master_key="x", objects_dir=Path(sys.argv[1]))
fifo = Path(sys.argv[1]) / "fifo"
with_store(settings, lambda store: store.put("fine", b"x"))
os.mkfifo(fifo)
for _ in range(threads.MOST):
    threads.submit(fifo.read_bytes)
if not (child := os.fork()):
    with_store(settings, lambda store: store.put("fine", b"y"))
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_with_calls_that_hang_ends_and_its_child_has_threads_of_its_own(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    subprocess.run([sys.executable, "-c", FORKING, str(objects)], check=True, timeout=15)
    assert (objects / "fine").read_bytes() == b"y"


def test_files_of_a_play_are_left_out(
    settings: Settings, end_of_hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "SILENCE", 0.3)
    files = [Artifact(name, b"x") for name in ("a.txt", "b.txt")]
    began = time.monotonic()
    kept = keep_artifacts(settings, Artifacts({}, lambda: iter(files)), "job-1", 1)
    assert time.monotonic() - began < SOON
    assert kept is not None
    assert [one["name"] for one in kept["left_out"]] == ["a.txt", "b.txt"]


def test_a_name_that_is_not_resolved_holds_work_with_s3_no_longer_than_its_limit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def hang(*_: object, **__: object) -> None:
        answered.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    keys = {"s3_access_key_id": "k", "s3_secret_access_key": "s"}
    s3 = {"objects_dir": None, "s3_endpoint_url": "http://s3.example.com", "s3_bucket": "b", **keys}
    tuned = Settings(database_url="sqlite://", redis_url="redis://", master_key="1:", **s3)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        with_store(tuned, lambda store: put_in_time(store, KEY, b"x", 0.5))
    seconds = time.monotonic() - began
    answered.set()
    assert seconds < 5 + SOON  # loading the library takes some
