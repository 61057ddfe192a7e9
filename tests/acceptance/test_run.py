"""A playbook from git, end to end."""

import json
from pathlib import Path

import httpx
from standardwebhooks import Webhook

from tests.acceptance.repos import head
from tests.acceptance.service import Service, local_job
from tests.servers.webhook_sink import WebhookSink


def test_a_playbook_runs_and_its_recap_log_and_commit_are_kept(service: Service, repo: Path) -> None:
    job_id = service.submit(local_job(repo, hosts=2))
    job = service.wait_for_closed(job_id)
    assert job["status"] == "successful", job
    assert job["return_code"] == 0
    assert job["source"]["commit"] == head(repo)
    assert job["progress"] == {
        "current_play": "all",
        "current_task": "Greet",
        "hosts_ok": 2,
        "hosts_failed": 0,
        "hosts_pending": 0,
    }
    assert set(job["timings"]) == {"queued", "source", "dependencies", "inventory", "starting", "playing", "finishing"}
    with service.client as client:
        hosts = client.get(f"/api/v1/jobs/{job_id}/hosts").json()["items"]
    assert [(host["host"], host["ok"], host["failed"]) for host in hosts] == [("host1", 1, 0), ("host2", 1, 0)]
    assert "hello host1" in service.log_of(job_id)


def test_the_caller_may_wait_for_the_end(service: Service, repo: Path) -> None:
    with service.client as client:
        answer = client.post("/api/v1/jobs", json=local_job(repo), headers={"Prefer": "wait=60"})
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.json()["status"] == "successful"


def test_events_stream_live_without_gaps_and_end_with_the_job(service: Service, repo: Path) -> None:
    job_id = service.submit(local_job(repo, hosts=3))
    frames = _stream(service, job_id)
    sequence = [json.loads(data)["seq"] for name, data in frames if name == "event"]
    assert sequence == list(range(1, len(sequence) + 1))
    assert len(sequence) > 5
    name, data = frames[-1]
    assert (name, json.loads(data)["status"]) == ("end", "successful")


def test_a_stream_resumes_after_the_last_event_that_was_seen(service: Service, repo: Path) -> None:
    job_id = service.submit(local_job(repo))
    whole = _stream(service, job_id)
    assert _stream(service, job_id, last_event_id="3")[:-1] == whole[3:-1]  # the last one, the job, has its log by now


def test_the_stream_is_replayed_from_the_stored_log_when_redis_has_let_it_go(service: Service, repo: Path) -> None:
    job_id = service.submit(local_job(repo))
    whole = _stream(service, job_id)
    service.wait_for_closed(job_id)
    from ansible_api.redis import client

    redis = client(service.env["REDIS_URL"])
    redis.flushdb()
    redis.close()
    assert _stream(service, job_id)[:-1] == whole[:-1]  # the last frame is the job, whose log is stored now


def test_the_log_can_be_read_as_text_as_events_and_in_ranges(service: Service, repo: Path) -> None:
    job_id = service.submit(local_job(repo))
    service.wait_for_closed(job_id)
    with service.client as client:
        text = client.get(f"/api/v1/jobs/{job_id}/logs")
        part = client.get(f"/api/v1/jobs/{job_id}/logs", headers={"Range": "bytes=0-9"})
        events = client.get(f"/api/v1/jobs/{job_id}/logs", params={"format": "ndjson"})
    assert part.status_code == 206
    assert part.text == text.text[:10]
    lines = [json.loads(line) for line in events.text.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert "".join(line["stdout"] + "\n" for line in lines if line["stdout"]) == text.text


def test_a_signed_webhook_tells_the_end(service: Service, repo: Path, webhook_sink: WebhookSink) -> None:
    secret = service.run("webhook-secret", "create")
    job_id = service.submit(local_job(repo, options={"callback_url": webhook_sink.url}))
    [received] = webhook_sink.wait_for_requests(1, timeout=40)
    Webhook(secret).verify(received.body, dict(received.headers.items()))
    told = json.loads(received.body)
    assert told["id"] == job_id
    assert told["status"] == "successful"
    assert told["log_status"] == "stored"
    with service.client as client:
        [delivery] = client.get(f"/api/v1/jobs/{job_id}/deliveries").json()["items"]
    assert delivery["id"] == received.headers["webhook-id"]


def test_a_webhook_is_tried_again_with_the_same_id(service: Service, repo: Path, webhook_sink: WebhookSink) -> None:
    webhook_sink.answer(500, 503)
    service.submit(local_job(repo, options={"callback_url": webhook_sink.url}))
    received = webhook_sink.wait_for_requests(3, timeout=40)
    assert len({request.headers["webhook-id"] for request in received}) == 1


def test_extra_vars_tags_and_check_mode_reach_ansible(service: Service, repo: Path) -> None:
    options = {"check_mode": True, "verbosity": 1, "limit": "host2"}
    spec = local_job(repo, "slow.yml", hosts=2, extra_vars={"seconds": 1}, options=options)
    job_id = service.submit(spec)
    job = service.wait_for_closed(job_id)
    assert job["status"] == "successful"
    log = service.log_of(job_id)
    assert "skipping: [host2]" in log  # a command does not run in check mode
    assert "host1" not in log


def test_several_playbooks_run_in_order(service: Service, repo: Path) -> None:
    job_id = service.submit(local_job(repo, ["site.yml", "slow.yml"], extra_vars={"seconds": 0}))
    assert service.wait_for_closed(job_id)["status"] == "successful"
    log = service.log_of(job_id)
    assert log.index("TASK [Greet]") < log.index("TASK [Wait]")


def _stream(service: Service, job_id: str, last_event_id: str | None = None) -> list[tuple[str, str]]:
    """Name and data of every frame until the stream ends."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    frames, name = [], ""
    with service.client as client, client.stream("GET", f"/api/v1/jobs/{job_id}/stream", headers=headers) as answer:
        assert isinstance(answer, httpx.Response)
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                frames.append((name, line.removeprefix("data: ")))
    return frames


def test_a_worker_logs_no_banner(service: Service, repo: Path) -> None:
    service.wait_for_closed(service.submit(local_job(repo)))
    assert '"job ended"' in service.log("worker")
    assert "[queues]" not in service.log("worker")
