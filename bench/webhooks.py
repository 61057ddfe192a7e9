"""How soon after a play's last task its end is to be seen, and its webhook has arrived."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import local_job
from tests.servers.s3 import s3
from tests.servers.webhook_sink import WebhookSink, webhook_sink

from bench.figures import Figure, median, percentile
from bench.installations import Installation, embedded, on_servers, wait_until_closed

JOBS = 30
SEEN_GOAL, ARRIVED_GOAL = 1.0, 2.0
LOOPBACK = {"LOOPBACK_EGRESS": "true"}
# The last thing that the play does: telling the time. Ansible's own end counts against us.
TOLD = play("""
- name: Told
  debug:
    msg: "{{ now(utc=true).timestamp() }}"
""")


def measure(folder: Path) -> list[Figure]:
    repo = make_repo(folder / "repo", {"site.yml": TOLD})
    with ExitStack() as stack:
        sink = stack.enter_context(webhook_sink())
        figures = []
        with embedded(folder / "up", {f"ANSIBLE_API_{name}": value for name, value in LOOPBACK.items()}) as up:
            figures += _measured(up, repo, sink)
        (folder / "s3").mkdir()
        bucket = stack.enter_context(s3(folder / "s3")).new_bucket()
        objects = {
            "S3_BUCKET": bucket.name,
            "S3_ENDPOINT_URL": bucket.endpoint_url,
            "S3_REGION": bucket.region,
            "S3_ACCESS_KEY_ID": bucket.access_key_id,
            "S3_SECRET_ACCESS_KEY": bucket.secret_access_key,
        }
        with on_servers(folder / "servers", **LOOPBACK, **objects) as servers:
            servers.service.start_api()
            servers.start_workers()
            figures += _measured(servers.installation, repo, sink)
        return figures


def _measured(place: Installation, repo: Path, sink: WebhookSink) -> list[Figure]:
    seen, arrived = [], []
    with place.client() as client:
        for number in range(JOBS + 1):
            request = local_job(repo, options={"callback_url": sink.url})
            job = client.post("/api/v1/jobs", params={"wait": 60}, json=request).json()
            ended = time.time()
            wait_until_closed(client, job)
            events = client.get(f"/api/v1/jobs/{job['id']}/events", params={"limit": 100}).json()["items"]
            [told] = [event for event in events if event["type"] == "runner_on_ok" and event["task"] == "Told"]
            last = float(told["result"]["msg"])
            sink.wait_for_requests(1, timeout=30)
            received = sink.requests.pop()
            if job["status"] != "successful" or json.loads(received.body)["id"] != job["id"]:
                raise RuntimeError(f"the job did not succeed: {job}")
            if number:  # the first one warms up
                seen.append(ended - last)
                arrived.append(received.at - last)
    return [
        _figure(f"p95 last task → status visible, {place.name}", seen, SEEN_GOAL),
        _figure(f"p95 last task → webhook arrives, {place.name}", arrived, ARRIVED_GOAL),
    ]


def _figure(name: str, delays: list[float], goal: float) -> Figure:
    p95 = percentile(delays, 0.95)
    how = (
        f"{len(delays)} jobs one after another, Ansible's own exit counted; "
        f"median {1000 * median(delays):.0f} ms, worst {1000 * max(delays):.0f} ms"
    )
    return Figure(name, f"{1000 * p95:.0f} ms", f"< {1000 * goal:.0f} ms", p95 < goal, how)
