"""The API as its own process behind uvicorn: live streams, refused bodies, memory, an orderly end."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ansible_api.jobs import repairs
from ansible_api.jobs.repairs import DeadAttempt
from ansible_api.jobs.state import Status
from ansible_api.settings import PREFIX, Settings
from tests.integration.api.conftest import JOB, Api, Worker, event, settings_of, started
from tests.processes import end
from tests.servers.redis import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


@dataclass(frozen=True)
class Served:
    """A running server, and the same database and Redis in this process."""

    url: str
    api: Api
    process: subprocess.Popen[bytes]
    log: Path

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.api.key()}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, verify=False)


@pytest.fixture
async def served(sqlite_settings: Settings, tmp_path: Path) -> AsyncIterator[Served]:
    async with started(sqlite_settings) as api:
        with serving(sqlite_settings, api, tmp_path / "api.log") as server:
            yield server


@contextmanager
def serving(settings: Settings, api: Api, log: Path) -> Iterator[Served]:
    """One API process; ended by its pid."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, log.open("wb") as output:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        inherited = [listening.fileno()]
        process = subprocess.Popen(
            serve(*inherited), env=environment(settings), pass_fds=inherited, stderr=output, stdout=output
        )
    try:
        wait_for(lambda: answers(url, process), timeout=30, message="the API did not start")
        yield Served(url, api, process, log)
    finally:
        end(process)


def serve(fd: int) -> list[str]:
    return [sys.executable, "-m", "tests.integration.api.serve", str(fd)]


def answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "the API ended"
    try:
        return httpx.get(f"{url}/health", verify=False).status_code == 200
    except httpx.TransportError:
        return False


def environment(settings: Settings) -> dict[str, str]:
    names = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "MASTER_KEY": settings.master_key.get_secret_value(),
        "OBJECTS_DIR": str(settings.objects_dir),
        "BODY_LIMIT": str(settings.body_limit),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {PREFIX + name: value for name, value in names.items()}


@dataclass
class Frame:
    """One server-sent event, and when it came."""

    event: str
    data: Any
    id: str | None
    at: float


async def frames(response: httpx.Response) -> AsyncIterator[Frame]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Frame(fields.get("event", ""), json.loads(fields["data"]), fields.get("id"), time.monotonic())
            fields = {}


async def read_stream(client: httpx.AsyncClient, address: str, **more: Any) -> list[Frame]:
    """All frames of a stream, to its end."""
    async with client.stream("GET", f"{address}/stream", **more) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [frame async for frame in frames(response)]


async def submitted(client: httpx.AsyncClient, **options: str) -> str:
    accepted = await client.post("/api/v1/jobs", json=JOB | {"options": options})
    assert accepted.status_code == 202, accepted.text
    return str(accepted.headers["location"])


async def test_a_stream_follows_a_job_from_the_queue_to_its_end(served: Served, tmp_path: Path) -> None:
    async with served.client() as client:
        address = await submitted(client)
        reading = asyncio.create_task(read_stream(client, address))
        sent = await asyncio.to_thread(play, served.api, address, tmp_path, 20)
        got = await asyncio.wait_for(reading, 20)
    assert [frame.event for frame in got] == ["event"] * 20 + ["end"]
    assert [frame.data["seq"] for frame in got[:-1]] == list(range(1, 21))
    assert [frame.id for frame in got[:-1]] == [str(seq) for seq in range(1, 21)]
    assert (got[-1].data["status"], got[-1].data["id"]) == ("failed", address.rpartition("/")[2])
    assert got[-1].at - sent["end"] < 0.9


def play(api: Api, address: str, directory: Path, events: int, worker: Worker | None = None) -> dict[str, float]:
    """Play a job as a worker would; returns when it ended."""
    play_on(api, address, directory, events, worker).finish(Status.FAILED, last_seq=events)
    return {"end": time.monotonic()}


def play_on(api: Api, address: str, directory: Path, events: int, worker: Worker | None = None) -> Worker:
    """Play a job, as far as these events, and do not end it."""
    worker = worker or api.worker(address.rpartition("/")[2])
    worker.begin_play()
    directory.mkdir(exist_ok=True)
    with worker.publisher(directory / "spool") as publisher:
        for seq in range(1, events + 1):
            publisher.append(event(seq))
    return worker


async def test_an_event_reaches_its_reader_while_the_play_goes_on(served: Served, tmp_path: Path) -> None:
    async with served.client() as client:
        address = await submitted(client)
        worker = await asyncio.to_thread(served.api.worker, address.rpartition("/")[2])
        await asyncio.to_thread(worker.begin_play)
        delays = []
        async with client.stream("GET", f"{address}/stream") as response:
            coming = frames(response)
            with worker.publisher(tmp_path / "spool") as publisher:
                for seq in range(1, 31):
                    at = time.monotonic()
                    publisher.append(event(seq))
                    frame = await asyncio.wait_for(anext(coming), 10)
                    assert frame.data["seq"] == seq
                    delays.append(frame.at - at)
    assert sorted(delays)[len(delays) // 2] < 0.3, delays


@pytest.mark.parametrize("how", ["header", "query", "both"])
async def test_a_reader_that_comes_again_gets_only_what_it_missed(served: Served, tmp_path: Path, how: str) -> None:
    async with served.client() as client:
        address = await submitted(client)
        await asyncio.to_thread(play, served.api, address, tmp_path, 10)
        given: dict[str, Any] = {"headers": {"Last-Event-ID": "7"}} if how != "query" else {"params": {"after": 7}}
        if how == "both":
            given["params"] = {"after": 2}
        got = await read_stream(client, address, **given)
    assert [frame.data["seq"] for frame in got[:-1]] == [8, 9, 10]
    assert got[-1].event == "end"


async def test_a_stream_that_expired_is_told_from_the_stored_file(
    served: Served, tmp_path: Path, redis_server: RedisServer
) -> None:
    async with served.client() as client:
        address = await submitted(client)
        worker = await asyncio.to_thread(served.api.worker, address.rpartition("/")[2])
        worker.begin_play()
        worker.finish()
        await worker.store("events", "".join(event(seq).to_json() + "\n" for seq in range(1, 4)).encode())
        redis_server.flush()
        got = await read_stream(client, address)
    assert [frame.event for frame in got] == ["event"] * 3 + ["end"]


async def test_the_stream_of_a_job_that_was_canceled_in_the_queue_ends(served: Served) -> None:
    async with served.client() as client:
        address = await submitted(client)
        reading = asyncio.create_task(read_stream(client, address))
        assert (await client.delete(address)).status_code == 202
        [end] = await asyncio.wait_for(reading, 10)
    assert (end.event, end.data["status"]) == ("end", "canceled")


async def test_a_stream_waits_for_the_next_attempt_of_a_job_that_is_played_again(
    served: Served, tmp_path: Path
) -> None:
    async def rest() -> list[Frame]:
        return [frame async for frame in coming]

    async with served.client() as client:
        address = await submitted(client, on_worker_loss="rerun")
        async with client.stream("GET", f"{address}/stream") as response:
            coming = frames(response)
            lost = await asyncio.to_thread(play_on, served.api, address, tmp_path / "first", 3)
            first = [await asyncio.wait_for(anext(coming), 10) for _ in range(3)]
            await asyncio.to_thread(lose, served.api, lost)
            reading = asyncio.create_task(rest())
            await asyncio.wait([reading], timeout=2.5)
            assert not reading.done(), reading
            await asyncio.to_thread(play, served.api, address, tmp_path / "second", 2)
            got = first + await asyncio.wait_for(reading, 20)
    assert [frame.id for frame in got] == ["1", "2", "3", "1", "2", None]
    assert (got[-1].event, got[-1].data["status"], got[-1].data["attempt"]) == ("end", "failed", 2)


@pytest.mark.parametrize("preparing", [False, True], ids=["waiting", "preparing"])
async def test_a_reader_that_comes_again_between_two_attempts_gets_all_of_the_next_one(
    served: Served, tmp_path: Path, preparing: bool
) -> None:
    async with served.client() as client:
        address = await submitted(client, on_worker_loss="rerun")
        lost = await asyncio.to_thread(play_on, served.api, address, tmp_path / "1", 3)
        await asyncio.to_thread(lose, served.api, lost)
        worker = served.api.worker(address.rpartition("/")[2]) if preparing else None
        async with client.stream("GET", f"{address}/stream", headers={"Last-Event-ID": "3"}) as response:
            await asyncio.to_thread(play, served.api, address, tmp_path / "2", 5, worker)
            got = [frame async for frame in frames(response)]
    assert [frame.id for frame in got] == ["1", "2", "3", "4", "5", None]


def lose(api: Api, worker: Worker) -> None:
    """Let a worker vanish whose job may be played again."""
    lost = api.database.write(repairs.expire_lease_of, DeadAttempt(worker.fence.job_id, worker.fence.owner))
    assert lost is not None
    assert api.database.write(repairs.end_expired, lost, max_attempts=3) == Status.QUEUED


async def test_a_wrong_last_event_id_is_refused(served: Served) -> None:
    async with served.client() as client:
        refused = await client.get(f"{await submitted(client)}/stream", headers={"Last-Event-ID": "x"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/header/last-event-id")


async def test_a_body_over_the_limit_is_refused_early_and_others_are_served(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * MIB

    async with served.client() as client:
        told = await client.post("/api/v1/jobs", content=b" " * (20 * MIB))
        untold = await client.post("/api/v1/jobs", content=pieces())
        assert (told.status_code, untold.status_code) == (413, 413)
        assert (await client.post("/api/v1/jobs", json=JOB)).status_code == 202
    assert resident(served) < 170 * MIB


async def test_a_length_over_the_limit_is_refused_without_the_body(served: Served) -> None:
    key = served.api.key()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 99999999\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), 10)  # to the end: the server closes
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_the_process_stays_small(served: Served) -> None:
    async with served.client() as client:
        for _ in range(50):
            assert (await client.post("/api/v1/jobs", json=JOB)).status_code == 202
        assert (await client.get("/openapi.json")).status_code == 200
    assert resident(served) < 170 * MIB


def test_the_api_loads_neither_tasks_nor_what_only_workers_need() -> None:
    probe = "import sys, ansible_api.api.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True, text=True).stdout.split()
    assert "ansible_api.jobs.service" in loaded
    assert not {"ansible", "ansible_runner", "ansible_api.tasks", "dulwich", "boto3", "aioboto3"} & set(loaded)


def resident(served: Served) -> int:
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


async def test_sigterm_ends_open_streams_and_the_process(served: Served) -> None:
    async with served.client() as client:
        address = await submitted(client)
        async with client.stream("GET", f"{address}/stream") as response:
            served.process.send_signal(signal.SIGTERM)
            with suppress(httpx.TransportError):
                assert [frame async for frame in frames(response)] == []
    assert await asyncio.to_thread(served.process.wait, 15) in (0, -signal.SIGTERM)
    assert b"Traceback" not in served.log.read_bytes()


async def test_no_secret_is_in_the_log(served: Served) -> None:
    canary = "hunter2-canary"
    async with served.client() as client:
        key = client.headers["Authorization"].removeprefix("Bearer ")
        await client.post("/api/v1/jobs", json=JOB | {"extra_vars": {"password": canary}})
        await client.post("/api/v1/jobs", json=JOB | {canary: canary})
        await client.post("/api/v1/jobs", content=canary)
        await client.get(f"/{canary}")
    log = served.log.read_text()
    assert '"route": "/api/v1/jobs"' in log
    assert canary not in log
    assert key not in log
    assert served.api.settings.master_key.get_secret_value() not in log


def test_an_old_schema_ends_the_process_with_the_command_to_run(sqlite_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = subprocess.run(
            serve(listening.fileno()),
            env=environment(settings_of(sqlite_url, "redis://127.0.0.1:1", tmp_path)),
            pass_fds=[listening.fileno()],
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode != 0
    assert b"ansible-api db upgrade" in ended.stderr
