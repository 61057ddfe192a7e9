"""`ansible-api up` with a real Redis and stand-ins for the API and the worker."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_api.routing import JOB_QUEUES
from tests.integration import up_with_fakes
from tests.processes import processes_with
from tests.running_up import RunningUp
from tests.waiting import wait_for

Start = Callable[..., RunningUp]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[RunningUp] = []

    def begin(*options: str, data: Path = tmp_path / "data", **env: str) -> RunningUp:
        command = [sys.executable, str(up_with_fakes.__file__)]
        up = RunningUp(command, data, tmp_path / f"output{len(started)}", options, {"PYTHONPATH": "src", **env})
        started.append(up)
        return up.start()

    yield begin
    for up in started:
        up.clean_up()


def calls(up: RunningUp, *words: str) -> list[dict[str, Any]]:
    """The calls of stand-ins whose command begins like that."""
    lines = (up.data / "calls").read_text().splitlines()
    return [call for line in lines if (call := json.loads(line))["argv"][: len(words)] == list(words)]


def queues_of(argv: list[str]) -> set[str]:
    return {argv[place + 1] for place, word in enumerate(argv) if word == "--queue"}


def get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_ready_comes_after_schema_key_secret_api_and_worker(start: Start) -> None:
    up = start()
    assert get(up.url + "/ready").isdigit()
    order = [call["argv"][0] for call in calls(up)]
    assert order[0] == "db"
    assert sorted(order[1:]) == ["api", "keys", "webhook-secret", "worker", "worker"]


def test_every_queue_has_a_worker_and_deliveries_one_of_their_own(start: Start) -> None:
    up = start("--concurrency", "3")
    assert up.url
    served = [queues_of(call["argv"]) for call in calls(up, "worker")]
    assert sorted(served, key=len) == [{"delivery"}, {queue.value for queue in JOB_QUEUES}]
    assert [call for call in calls(up, "worker") if call["argv"][-4:-2] == ["--concurrency", "3"]]


def test_keys_are_made_once_and_for_their_owner_only(start: Start) -> None:
    up = start()
    assert up.url
    secrets = {name: (up.data / name).read_text() for name in ("admin.key", "master.key", "webhook.secret")}
    assert secrets["admin.key"] == "aak_first\n"
    assert secrets["webhook.secret"] == "whsec_Zmlyc3Q=\n"
    assert secrets["master.key"].startswith("1:")
    assert {stat.S_IMODE((up.data / name).stat().st_mode) for name in secrets} == {0o600}
    assert stat.S_IMODE(up.data.stat().st_mode) == 0o700
    assert up.stop() == 0
    again = start()
    assert again.url
    assert {name: (up.data / name).read_text() for name in secrets} == secrets
    assert len(calls(again, "keys")) == 1


def test_no_secret_is_printed(start: Start) -> None:
    up = start()
    assert up.url
    assert "aak_first" not in up.said
    assert (up.data / "master.key").read_text().strip() not in up.said


def test_the_printed_command_names_a_repository_that_is_there(start: Start) -> None:
    up = start()
    assert up.url
    words = shlex.split(next(line for line in up.said.splitlines() if line.startswith("curl ")))
    body = json.loads(words[words.index("-d") + 1])
    tree = subprocess.run(
        ["git", "-C", body["source"]["repo"], "ls-tree", "--name-only", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert tree.split() == [body["source"]["path"]]
    assert f"{up.url}/api/v1/jobs?wait=30" in words


def test_a_second_up_on_the_same_data_is_refused_with_the_pid_of_the_first(start: Start) -> None:
    first = start()
    assert first.url
    assert first.process
    second = start()
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert f"in use by process {first.process.pid}" in second.said
    assert get(first.url)


def test_a_directory_that_cannot_be_is_refused_with_its_name(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    up = start(data=tmp_path / "file" / "data")
    assert up.process is not None
    assert up.process.wait(20) == 1
    assert up.said == f"ansible-api: --data {up.data}: Not a directory: choose another directory\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_process_and_no_lock(start: Start, number: signal.Signals) -> None:
    up = start()
    assert up.url
    assert len(up.parts()) == 4
    assert up.stop(number) == 0
    assert processes_with(up.mark) == []
    assert start().url


def test_sigkill_of_up_leaves_no_process_and_the_next_one_starts(start: Start) -> None:
    up = start()
    assert up.url
    up.stop(signal.SIGKILL)
    wait_for(lambda: processes_with(up.mark) == [])
    assert start().url


def test_a_restarted_api_keeps_its_port(start: Start) -> None:
    up = start()
    before = get(up.url)
    os.kill(int(before), signal.SIGKILL)
    after = get(up.url)  # waits in the socket that the supervisor holds
    assert before != after
    assert "api was ended by SIGKILL" in up.said


def test_redis_is_started_again_with_its_data(start: Start) -> None:
    up = start()
    assert up.url
    url = calls(up, "worker")[0]["env"]["ANSIBLE_API_REDIS_URL"]
    from redis import Redis
    from redis.exceptions import RedisError

    def answer() -> object:
        try:
            with Redis.from_url(url) as client:
                return client.get("kept")
        except RedisError:
            return None

    with Redis.from_url(url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("kept", "yes")
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    assert wait_for(answer) == b"yes"
    assert "redis was ended by SIGKILL" in up.said


def test_a_long_directory_gets_a_short_socket_that_goes_away(start: Start, tmp_path: Path) -> None:
    up = start(data=tmp_path / ("long" * 30))
    assert up.url
    path = Path(calls(up, "api")[0]["env"]["ANSIBLE_API_REDIS_URL"].removeprefix("unix://"))
    assert path.exists()
    assert len(str(path)) < 108
    assert up.stop() == 0
    assert not path.parent.exists()


def test_what_the_user_has_set_wins_and_his_client_key_stays_out(start: Start) -> None:
    up = start(ANSIBLE_API_PUBLIC_URL="https://ci.example.com", ANSIBLE_API_KEY="aak_mine")
    assert up.url
    env = calls(up, "api")[0]["env"]
    assert env["ANSIBLE_API_PUBLIC_URL"] == "https://ci.example.com"
    assert env["ANSIBLE_API_DATABASE_URL"] == f"sqlite:///{up.data}/ansible-api.db"
    assert "ANSIBLE_API_KEY" not in env


def test_a_configured_redis_is_used_and_none_started(start: Start) -> None:
    up = start(ANSIBLE_API_REDIS_URL="redis://127.0.0.1:1")
    assert up.url
    assert calls(up, "api")[0]["env"]["ANSIBLE_API_REDIS_URL"] == "redis://127.0.0.1:1"
    assert not (up.data / "redis").exists()


def test_a_port_that_is_taken_is_said_before_anything_starts(start: Start) -> None:
    first = start()
    port = first.url.rpartition(":")[2]
    second = start("--port", port, data=first.data.with_name("other"))
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert "choose another --port" in second.said
