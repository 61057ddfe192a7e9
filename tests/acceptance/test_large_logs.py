"""A large log whose worker is killed at the play's end: a second worker finishes it, and nothing of it is missing.

The full size, 1,000,000 lines of some 200 bytes: `TEST_LOG_LINES=1000000 pytest tests/acceptance/test_large_logs.py`.
"""

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from redis import Redis, RedisError

from ansible_api.events.spool import path_of, unheld
from ansible_api.redis import client
from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import Service, installed, local_job
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

LINES = int(os.environ.get("TEST_LOG_LINES", "4000"))
FULL_SIZE = LINES >= 100_000
AT_ONCE = 1000 if FULL_SIZE else 100
MIB = 1024 * 1024
LIMIT = 60 + LINES / 500  # seconds
FILTER = """
def some_lines(block, count):
    return [f"line {number:07d} {'x' * 190}" for number in range(block * count, (block + 1) * count)]

class FilterModule:
    def filters(self):
        return {"some_lines": some_lines}
"""
PRINT = play(f"""
- name: Print
  debug:
    msg: "{{{{ item | int | some_lines({AT_ONCE}) }}}}"
  loop: "{{{{ range({LINES // AT_ONCE}) | list }}}}"
  loop_control: {{label: "", pause: "{{{{ slowly | ternary(0.1, 0) }}}}"}}
- name: Stay
  command: sleep 60
  when: slowly
""")
LINE = re.compile(rb"line \d{7} x{190}")
LAST = b"line %07d " % (LINES - 1)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, valkey_server: RedisServer) -> Iterator[Service]:
    valkey_server.process.revive()
    valkey_server.flush()
    folder = tmp_path_factory.mktemp("large")
    with installed(folder, f"sqlite:///{folder / 'database.sqlite'}", valkey_server.url) as service:
        service.env |= {"LEASE_PREPARING": "4", "LEASE_PLAYING": "4"}  # who goes with the disk is not known to be dead
        if not FULL_SIZE:
            service.env["HOT_EVENTS"] = "200000"
        service.start_api()
        with _watched(service, valkey_server) as peak:
            yield service
    told = ", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in sorted(peak.items()))
    print(f"\n{LINES} lines: largest {told}")  # noqa: T201 - for whoever asks with -s
    assert 0 < peak["stream in Redis"] < 8 * MIB


@pytest.fixture
def service(installation: Service, tmp_path: Path) -> Iterator[Service]:
    """An installation without workers, for a test that starts its own on a disk of their own."""
    installation.env["STATE_DIR"] = str(tmp_path / "state")
    api, *_ = installation.processes
    yield installation
    for worker in installation.processes:
        if worker is not api and worker.poll() is None:
            worker.terminate()
            worker.wait(30)


@contextmanager
def _watched(service: Service, server: RedisServer) -> Iterator[dict[str, float]]:
    """The largest sizes seen meanwhile: resident memory of processes, and streams in Redis."""
    peak: dict[str, float] = {"stream in Redis": 0}
    over = threading.Event()

    def look(redis: "Redis") -> None:
        for pid in service.pids():
            with suppress(OSError, StopIteration):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                name = next(word.decode() for word in words if word in (b"api", b"worker"))
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                size = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
                peak[name] = max(peak.get(name, 0), size)
        with suppress(RedisError):
            names = redis.keys("ansible-api:events:*")
            size = max((redis.memory_usage(name, samples=0) or 0 for name in names), default=0)
            peak["stream in Redis"] = max(peak["stream in Redis"], size)

    def watch() -> None:
        with client(server.url) as redis:
            while not over.wait(0.5):
                look(redis)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def printing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {"site.yml": PRINT, "filter_plugins/lines.py": FILTER}
    return make_repo(tmp_path_factory.mktemp("printing") / "repo", files)


DISKS = pytest.mark.parametrize("second_disk", [False, True], ids=["the same disk", "another disk"])
DISKS_IN_TIME = DISKS if FULL_SIZE else pytest.mark.parametrize("second_disk", [False], ids=["the same disk"])


@DISKS
def test_a_worker_killed_before_its_events_are_published(
    service: Service, printing: Path, valkey_server: RedisServer, second_disk: bool
) -> None:
    # So it prints still when Redis hangs, and plays still when its worker dies.
    worker, job_id = _begin(service, printing, slowly=True)
    _wait_until_printing(service, job_id)
    with _hung(valkey_server):
        wait_for(lambda: LAST in _end_of(_spool(service, job_id)), LIMIT, message="the play did not print all")
        _kill(worker)
    told = _finish(service, job_id, second_disk)
    assert told["status"] == "lost"
    if second_disk:
        assert told["log_status"] == "partial"
        lines = LINE.findall(_download(service, job_id, "text"))
        assert 0 < len(lines) < LINES
        assert lines == _expected()[: len(lines)]
    else:
        assert told["log_status"] == "stored"
        _check_every_way(service, job_id)


@DISKS_IN_TIME
def test_a_worker_killed_before_its_result_is_written(service: Service, printing: Path, second_disk: bool) -> None:
    worker, job_id = _begin(service, printing)
    wait_for(lambda: LAST in _end_of(_spool(service, job_id)), LIMIT, message="the play did not print all")
    with _locked(service):
        wait_for(lambda: _is_released(_spool(service, job_id)), LIMIT, message="the events were not published")
        _kill(worker)
    told = _finish(service, job_id, second_disk)
    assert told["log_status"] == ("partial" if second_disk else "stored")  # nobody knows how many there were
    _check_every_way(service, job_id)


@DISKS_IN_TIME
def test_a_worker_killed_before_its_log_is_stored(service: Service, printing: Path, second_disk: bool) -> None:
    worker, job_id = _begin(service, printing)
    told = service.wait_for_status(job_id, timeout=LIMIT)
    assert told["status"] == "successful"
    _kill(worker)
    told = _finish(service, job_id, second_disk)
    assert (told["status"], told["log_status"]) == ("successful", "stored")
    _check_every_way(service, job_id)


def _begin(service: Service, repo: Path, slowly: bool = False) -> tuple["subprocess.Popen[bytes]", str]:
    """A worker that runs jobs and stores no logs, and its job."""
    return service.start_worker("default"), service.submit(local_job(repo, extra_vars={"slowly": slowly}))


def _spool(service: Service, job_id: str) -> Path:
    return path_of(Path(service.env["STATE_DIR"]) / "spool", job_id, 1)


def _end_of(spool: Path) -> bytes:
    try:
        with spool.open("rb") as file:
            file.seek(max(spool.stat().st_size - 500_000, 0))
            return file.read()
    except FileNotFoundError:
        return b""


def _is_released(spool: Path) -> bool:
    with unheld(spool) as reader:
        return reader is not None


def _wait_until_printing(service: Service, job_id: str) -> None:
    def printed() -> bool:
        with service.client as client:
            return len(client.get(f"/api/v1/jobs/{job_id}/events", params={"limit": 8}).json()["items"]) >= 8

    wait_for(printed, LIMIT, message="the play did not print")


@contextmanager
def _hung(server: RedisServer) -> Iterator[None]:
    server.process.pause()
    try:
        yield
    finally:
        server.process.resume()


@contextmanager
def _locked(service: Service) -> Iterator[None]:
    """Nobody writes to the database meanwhile."""
    with closing(sqlite3.connect(service.folder / "database.sqlite", timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def _kill(worker: "subprocess.Popen[bytes]") -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(10)


def _finish(service: Service, job_id: str, second_disk: bool) -> dict[str, object]:
    if second_disk:
        service.env["STATE_DIR"] += " of another worker"
    service.start_worker(name="second")
    told = service.wait_for_closed(job_id, timeout=LIMIT)
    if second_disk or told["log_status"] != "partial":
        return told
    # It was closed before all of the spool was in the object store.
    return wait_for(lambda: _stored(service, job_id), LIMIT, message="the log is not closed again with the spool")


def _stored(service: Service, job_id: str) -> dict[str, object] | None:
    job = service.job(job_id)
    return job if job["log_status"] == "stored" else None


def _expected() -> list[bytes]:
    return [b"line %07d %b" % (number, b"x" * 190) for number in range(LINES)]


def _check_every_way(service: Service, job_id: str) -> None:
    """Whole, in ranges, and as a stream: the same bytes, with every line that the play printed."""
    text, ndjson = _download(service, job_id, "text"), _download(service, job_id, "ndjson")
    assert LINE.findall(text) == _expected()
    assert b"PLAY RECAP" in text or service.job(job_id)["status"] == "lost"
    for form, whole in (("text", text), ("ndjson", ndjson)):
        third = len(whole) // 3
        ranges = [f"bytes=0-{third - 1}", f"bytes={third}-{2 * third}", f"bytes={2 * third + 1}-"]
        assert b"".join(_download(service, job_id, form, wanted) for wanted in ranges) == whole
    digest = hashlib.sha256()
    text_digest = hashlib.sha256()
    for line in _streamed(service, job_id):
        digest.update(line + b"\n")
        stdout = json.loads(line)["stdout"]
        text_digest.update(stdout.encode() + b"\n" if stdout else b"")
    assert digest.digest() == hashlib.sha256(ndjson).digest()
    assert text_digest.digest() == hashlib.sha256(text).digest()
    last = ndjson.count(b"\n")
    with service.client as client:
        page = client.get(f"/api/v1/jobs/{job_id}/events", params={"after": last - 2}).json()
    assert [item["seq"] for item in page["items"]] == [last - 1, last]


def _download(service: Service, job_id: str, form: str, wanted: str | None = None) -> bytes:
    headers = {"Range": wanted} if wanted else {}
    with service.client as client:
        answer = client.get(f"/api/v1/jobs/{job_id}/logs", params={"format": form}, headers=headers)
    assert answer.status_code == (206 if wanted else 200)
    return answer.content


def _streamed(service: Service, job_id: str) -> Iterator[bytes]:
    """The data of every event frame."""
    with service.client as client, client.stream("GET", f"/api/v1/jobs/{job_id}/stream") as answer:
        assert answer.status_code == 200
        rest, ended = b"", False
        for chunk in answer.iter_raw():
            *frames, rest = (rest + chunk).split(b"\n\n")
            for frame in frames:
                fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if not line.startswith(b":"))
                ended = ended or fields.get(b"event") == b"end"
                if fields.get(b"event") == b"event":
                    yield fields[b"data"]
        assert ended
