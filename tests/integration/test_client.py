"""The client commands against a real HTTP server: what is sent, what is shown, how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ansible_api.cli.client import Client, Unreachable
from ansible_api.cli.exits import Exit
from ansible_api.cli.follow import Follower
from ansible_api.events.types import Event
from tests.integration.scripted_api import Answer, ScriptedApi, json_answer, scripted_api, stream_answer
from tests.waiting import wait_for

KEY = "aak_canary"
QUEUED: dict[str, Any] = {"id": "job-1", "status": "queued", "queue": "default", "finished_at": None}
DONE = QUEUED | {"status": "successful", "finished_at": "2026-01-15T10:00:00Z", "timings": {"playing": 1.0}}
HOSTS = {"items": [{"host": "web1", "ok": 2, "changed": 1, "failed": 0, "unreachable": 0, "skipped": 0}]}
SUBMIT = ["submit", "--repo", "https://git.example.com/a.git", "--path", "site.yml", "--host", "web1"]
STREAM = "GET /api/v1/jobs/job-1/stream"


def event(seq: int, kind: str = "runner_on_ok", stdout: str = "", **more: object) -> str:
    document = {"seq": seq, "time": "t", "type": kind, "stdout": stdout or f"line {seq}", "host": "web1", **more}
    return f"id: {seq}\nevent: event\ndata: {json.dumps(document, ensure_ascii=False)}"


def end(**more: object) -> str:
    return f"event: end\ndata: {json.dumps(DONE | more)}"


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as server:
        server.answer("POST /api/v1/jobs", json_answer(QUEUED, 202))
        server.answer("GET /api/v1/jobs/job-1/hosts", json_answer(HOSTS))
        yield server


@pytest.fixture
def command(api: ScriptedApi) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv(*arguments), capture_output=True, text=True, check=False, env=environment(api, **env)
        )

    return run


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ansible_api.cli", *arguments]


def environment(api: ScriptedApi, **more: str) -> dict[str, str]:
    return {**os.environ, "ANSIBLE_API_URL": api.url, "ANSIBLE_API_KEY": KEY, **more}


def follower(api: ScriptedApi, **more: Any) -> Follower:
    return Follower(Client(api.url, KEY), "job-1", first_pause=0.001, **more)


def seen(follower: Follower) -> list[int | str]:
    with follower.client:
        return [item.seq if isinstance(item, Event) else item["status"] for item in follower]


def test_submit_sends_the_request_and_prints_the_id(api: ScriptedApi, command: Any) -> None:
    result = command(*SUBMIT, "--check", "--tags", "a,b")
    assert (result.returncode, result.stdout) == (0, "job-1\n")
    (asked,) = api.calls("POST /api/v1/jobs")
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.headers["Idempotency-Key"]
    assert json.loads(asked.body)["options"] == {"tags": ["a", "b"], "check_mode": True}


def test_submit_tries_again_under_the_same_idempotency_key(api: ScriptedApi, command: Any) -> None:
    api.answer("POST /api/v1/jobs", Answer(503), Answer(503), json_answer(QUEUED, 202))
    assert command(*SUBMIT).returncode == 0
    keys = {asked.headers["Idempotency-Key"] for asked in api.calls("POST /api/v1/jobs")}
    assert (len(api.calls("POST /api/v1/jobs")), len(keys)) == (3, 1)


def test_a_request_on_standard_input_is_sent(api: ScriptedApi) -> None:
    body = "source: {type: playbook, repo: r, path: p}\ninventory: {type: inline, hosts: [a]}\n"
    subprocess.run(
        argv("submit", "-f", "-"), input=body, text=True, check=True, env=environment(api), capture_output=True
    )
    assert json.loads(api.asked[0].body)["inventory"] == {"type": "inline", "hosts": ["a"]}


def test_a_refusal_is_a_line_per_field_and_exit_1(api: ScriptedApi, command: Any) -> None:
    problem = {
        "detail": "1 field",
        "code": "invalid_request",
        "errors": [{"pointer": "/source/repo", "detail": "give a URL"}],
    }
    api.answer("POST /api/v1/jobs", json_answer(problem, 422))
    result = command(*SUBMIT)
    assert result.returncode == Exit.REFUSED
    assert result.stderr == "ansible-api: 1 field (invalid_request)\n  source.repo: give a URL\n"


def test_an_answer_that_is_not_ours_is_a_message(api: ScriptedApi, command: Any) -> None:
    api.answer("POST /api/v1/jobs", Answer(200, b"<html>"))
    result = command(*SUBMIT)
    assert result.returncode == Exit.REFUSED
    assert "is not an ansible-api" in result.stderr


def test_no_server_is_exit_6(command: Any) -> None:
    result = command("jobs", "--url", "http://127.0.0.1:1")
    assert result.returncode == Exit.UNREACHABLE
    assert "cannot reach http://127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_proxy_of_the_environment_is_not_for_this_machine(command: Any, api: ScriptedApi) -> None:
    assert command(*SUBMIT, http_proxy="http://127.0.0.1:1", no_proxy="").returncode == 0


def test_watch_shows_output_recap_and_outcome(api: ScriptedApi, command: Any) -> None:
    api.answer(STREAM, stream_answer(event(1, stdout="TASK [x]"), ": heartbeat", event(2), end()))
    result = command(*SUBMIT, "--watch")
    assert result.returncode == 0
    shown = result.stdout.splitlines()
    assert shown[:2] == ["TASK [x]", "line 2"]
    assert any(line.split() == ["web1", "2", "1", "0", "0", "0", "0", "0"] for line in shown)
    assert shown[-1] == "job-1 successful after 1.0 s"
    assert result.stderr == "job-1 on queue default\n"
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("status", "code"), [("failed", 2), ("error", 3), ("lost", 3), ("canceled", 4), ("timed_out", 5)]
)
def test_the_exit_code_says_how_the_job_ended(api: ScriptedApi, command: Any, status: str, code: int) -> None:
    api.answer(STREAM, stream_answer(end(status=status, error={"code": "some_code", "message": "some reason"})))
    result = command("watch", "job-1")
    assert result.returncode == code
    assert "some_code: some reason" in result.stdout


def test_a_missing_recap_does_not_change_the_outcome(api: ScriptedApi, command: Any) -> None:
    api.answer(STREAM, stream_answer(end(status="failed")))
    api.answer("GET /api/v1/jobs/job-1/hosts", Answer(500))
    result = command("watch", "job-1")
    assert result.returncode == Exit.FAILED
    assert "no recap" in result.stdout


def test_escape_sequences_of_a_play_do_not_reach_the_terminal(api: ScriptedApi, command: Any) -> None:
    api.answer(STREAM, stream_answer(event(1, stdout="\x1b]0;title\x07\x1b[2Jbad\x9b2J"), end()))
    assert command("watch", "job-1", FORCE_COLOR="1").stdout.splitlines()[0].endswith("bad\x1b[0m")


def test_watch_in_json_is_an_event_a_line_and_then_the_job(api: ScriptedApi, command: Any) -> None:
    api.answer(STREAM, stream_answer(event(1, stdout="a\u2028b"), end()))
    lines = [json.loads(line) for line in command("watch", "job-1", "--json").stdout.strip().split("\n")]
    assert lines[0]["event"]["stdout"] == "a\u2028b"
    assert lines[1] == {"job": DONE}


def test_a_cut_stream_goes_on_after_the_last_event(api: ScriptedApi) -> None:
    api.answer(STREAM, stream_answer(event(1), event(2)), Answer(502), stream_answer(event(3), end()))
    assert seen(follower(api)) == [1, 2, 3, "successful"]
    assert [asked.headers.get("Last-Event-ID") for asked in api.calls(STREAM)] == [None, "2", "2"]


def test_each_gap_is_told(api: ScriptedApi) -> None:
    gaps: list[Unreachable] = []
    api.answer(STREAM, stream_answer(event(1)), stream_answer(end()))
    seen(follower(api, on_gap=gaps.append))
    assert [str(gap) for gap in gaps] == ["the stream ended before the job did"]


def test_patience_ends_when_nothing_comes_back(api: ScriptedApi) -> None:
    api.answer(STREAM, Answer(503))
    with pytest.raises(Unreachable):
        seen(follower(api, patience=0.05))
    assert len(api.calls(STREAM)) > 1


def test_a_job_that_is_not_there_ends_watching_at_once(api: ScriptedApi, command: Any) -> None:
    assert command("watch", "job-2").returncode == Exit.REFUSED
    assert len(api.asked) == 1


def test_an_event_of_a_newer_api_is_understood(api: ScriptedApi) -> None:
    api.answer(STREAM, stream_answer(event(1, novelty=True), "event: novelty\ndata: x", end()))
    assert seen(follower(api)) == [1, "successful"]


def test_ctrl_c_leaves_the_job_running_and_says_how_to_cancel_it(api: ScriptedApi, tmp_path: Path) -> None:
    api.answer(STREAM, stream_answer(event(1)))
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(argv("watch", "job-1"), stdout=output, stderr=output, env=environment(api))
    wait_for(lambda: "line 1" in (tmp_path / "out").read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == Exit.INTERRUPTED
    assert "job-1 goes on; to end it: ansible-api cancel job-1" in (tmp_path / "out").read_text()
    assert not api.calls("POST /api/v1/jobs/job-1/cancel")


def test_wait_polls_until_the_job_has_ended(api: ScriptedApi, command: Any) -> None:
    api.answer("GET /api/v1/jobs/job-1", json_answer(QUEUED), json_answer(DONE | {"status": "failed"}))
    result = command(*SUBMIT, "--wait", "20", "--json")
    assert result.returncode == Exit.FAILED
    assert json.loads(result.stdout)["status"] == "failed"
    assert "wait=" in api.calls("POST /api/v1/jobs")[0].path


def test_wait_that_runs_out_is_exit_7(api: ScriptedApi, command: Any) -> None:
    api.answer("GET /api/v1/jobs/job-1", json_answer(QUEUED))
    assert command(*SUBMIT, "--wait", "1").returncode == Exit.UNFINISHED


def test_logs_are_byte_for_byte_and_the_key_stays_with_its_host(api: ScriptedApi) -> None:
    content = b"\xff\x1b[2J line\r\n"
    with scripted_api() as storage:
        storage.answer("GET /bucket/log", Answer(200, content))
        # Another host name is another origin.
        elsewhere = f"http://localhost:{storage.port}/bucket/log?signature=x"
        api.answer("GET /api/v1/jobs/job-1/logs", Answer(307, headers={"Location": elsewhere}))
        result = subprocess.run(argv("logs", "job-1"), capture_output=True, check=True, env=environment(api))
        assert result.stdout == content
        assert "Authorization" not in storage.asked[0].headers
    assert "Authorization" in api.asked[0].headers


def test_logs_in_json_are_the_events(api: ScriptedApi, command: Any) -> None:
    api.answer("GET /api/v1/jobs/job-1/logs", Answer(200, b'{"seq":1}\n'))
    assert command("logs", "job-1", "--json").stdout == '{"seq":1}\n'
    assert api.asked[0].path.endswith("format=ndjson")


def test_jobs_are_listed_with_their_status(api: ScriptedApi, command: Any) -> None:
    api.answer("GET /api/v1/jobs", json_answer({"items": [DONE, QUEUED | {"id": "job-2"}], "next_cursor": "abc"}))
    result = command("jobs", "--status", "queued", "--status", "running", "--limit", "2")
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:]] == [
        ["job-1", "successful"],
        ["job-2", "queued"],
    ]
    assert "--cursor abc" in result.stderr
    assert api.asked[0].path.endswith("?limit=2&status=queued&status=running")


def test_short_pages_are_joined_to_one(api: ScriptedApi, command: Any) -> None:
    pages = [([QUEUED], "one"), ([], "two"), ([DONE | {"id": "job-3"}], None)]
    api.answer("GET /api/v1/jobs", *(json_answer({"items": items, "next_cursor": more}) for items, more in pages))
    shown = json.loads(command("jobs", "--text", "site.yml", "--repo", "https://a.example.com/b", "--json").stdout)
    assert ([job["id"] for job in shown["items"]], shown["next_cursor"]) == (["job-1", "job-3"], None)
    asked = [httpx.URL(one.path).params for one in api.calls("GET /api/v1/jobs")]
    assert [(one["limit"], one.get("cursor")) for one in asked] == [("20", None), ("19", "one"), ("19", "two")]
    assert {(one["text"], one["repo"]) for one in asked} == {("site.yml", "https://a.example.com/b")}


def test_one_job_is_shown_whole(api: ScriptedApi, command: Any) -> None:
    api.answer("GET /api/v1/jobs/job-1", json_answer(DONE))
    assert "successful" in command("jobs", "job-1").stdout
    assert json.loads(command("jobs", "job-1", "--json").stdout) == DONE


def test_cancel_says_what_the_job_is_now(api: ScriptedApi, command: Any) -> None:
    api.answer("POST /api/v1/jobs/job-1/cancel", json_answer(QUEUED | {"status": "running"}, 202))
    assert command("cancel", "job-1").stdout == "job-1: running, cancel requested\n"
    problem = {"detail": "the job has ended", "code": "conflict"}
    api.answer("POST /api/v1/jobs/job-1/cancel", json_answer(problem, 409))
    assert command("cancel", "job-1").returncode == Exit.REFUSED


def test_the_key_is_never_shown(api: ScriptedApi, command: Any) -> None:
    api.answer("GET /api/v1/jobs", Answer(401, b'{"detail": "send a valid key", "code": "unauthenticated"}'))
    result = command("jobs")
    assert result.returncode == Exit.REFUSED
    assert KEY not in result.stdout + result.stderr


def test_a_relaunch_says_which_hosts_and_which_commit(
    api: ScriptedApi, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    api.answer("POST /api/v1/jobs/job-1/relaunch", json_answer(QUEUED | {"id": "job-2"}, 202))
    done = command("relaunch", "job-1", "--failed", "--latest")
    assert (done.returncode, done.stdout) == (Exit.SUCCESSFUL, "job-2\n"), done.stderr
    [asked] = api.calls("POST /api/v1/jobs/job-1/relaunch")
    assert json.loads(asked.body) == {"hosts": "failed", "commit": "latest"}
    assert {name.lower() for name in asked.headers} >= {"idempotency-key"}


def test_labels_and_plans_are_asked_for_by_flags(
    api: ScriptedApi, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = command(*SUBMIT, "--plan", "--label", "env=prod", "--label", "app=shop")
    assert done.returncode == Exit.SUCCESSFUL, done.stderr
    [asked] = api.calls("POST /api/v1/jobs")
    assert json.loads(asked.body)["options"] == {"dry_run": "plan", "labels": {"env": "prod", "app": "shop"}}
    api.answer("GET /api/v1/jobs", json_answer({"items": [], "next_cursor": None}))
    assert command("jobs", "--label", "env=prod").returncode == Exit.SUCCESSFUL
    assert api.calls("GET /api/v1/jobs")[0].path.endswith("label=env%3Dprod")
