"""One trace from the caller's request to the webhook, told to a real receiver by a real API and real workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import Service, installed, local_job
from tests.servers.otlp import OtlpReceiver, Received, otlp_receiver
from tests.servers.redis import RedisServer
from tests.servers.webhook_sink import WebhookSink

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CANARY = "canary-of-the-traces"
PLAYBOOK = play("""
- name: Greet
  debug:
    msg: "{{ lookup('env', 'TOKEN') }}"
- name: Fail now and then
  command: "false"
  ignore_errors: true
- name: Wait for {{ lookup('env', 'TOKEN') }}
  command: "true"
""")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


@pytest.fixture
def traced(receiver: OtlpReceiver, redis_server: RedisServer, tmp_path: Path) -> Iterator[Service]:
    redis_server.process.revive()
    redis_server.flush()
    with installed(tmp_path, f"sqlite:///{tmp_path / 'database.sqlite'}", redis_server.url) as service:
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        inner = service.environment
        service.environment = lambda: inner() | telemetry  # type: ignore[method-assign]
        service.start_api()
        service.start_worker(concurrency=1)
        yield service


def test_one_trace_goes_from_the_callers_request_to_the_webhook(
    traced: Service, receiver: OtlpReceiver, webhook_sink: WebhookSink, tmp_path: Path
) -> None:
    repo = make_repo(tmp_path / "playbooks", {"site.yml": PLAYBOOK})
    secret = {"type": "inline", "value": {"kind": "environment", "variables": {"TOKEN": CANARY}}}
    job = local_job(repo, options={"callback_url": webhook_sink.url}, credentials={"environment": secret})
    job_id = traced.submit(job, traceparent=f"00-{TRACE}-{CALLER}-01")
    [hook] = webhook_sink.wait_for_requests(1, timeout=90)
    receiver.wait_for("webhook", "job attempt", "store log", "store events", "POST /api/v1/jobs")

    ours = [span for span in receiver.spans if span.trace_id == TRACE]

    def one(name: str) -> Received:
        [found] = [span for span in ours if span.name == name]
        return found

    request, attempt = one("POST /api/v1/jobs"), one("job attempt")
    assert request.parent_id == CALLER
    assert (request.service, attempt.service) == ("ansible-api", "ansible-api-worker")
    for name in ("job queued", "job attempt", "store log", "store events", "webhook"):
        assert one(name).parent_id == request.span_id, name
        assert one(name).attributes["ansible_api.job_id"] == job_id
    phases = [
        one(f"phase {name}") for name in ("source", "dependencies", "inventory", "starting", "playing", "finishing")
    ]
    assert {phase.parent_id for phase in phases} == {attempt.span_id}
    assert [phase.began for phase in phases] == sorted(phase.began for phase in phases)
    playing = phases[4]
    tasks = [span for span in ours if span.parent_id == playing.span_id]
    assert [span.name for span in tasks][:2] == ["task Greet", "task Fail now and then"]
    assert [span.attributes.get("ansible.hosts.ignored") for span in tasks] == [None, 1, None]
    assert not any(span.failed for span in ours)
    assert not any(CANARY.encode() in body for body in receiver.bodies)
    assert hook.headers["traceparent"] == f"00-{TRACE}-{one('webhook').span_id}-01"
    assert f'"trace_id": "{TRACE}"' in traced.log("worker")


def test_a_receiver_that_hangs_delays_no_play(traced: Service, receiver: OtlpReceiver, repo: Path) -> None:
    receiver.hung = True
    job = traced.wait_for_closed(traced.submit(local_job(repo)))
    assert job["status"] == "successful"
    assert job["log_status"] == "stored"
