"""The main job of the service, start to end: `up`, a job with live output, its log, its signed webhook.

Everything lies in one temporary directory and is gone at the end. Exit code 0 means that every step worked.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from dulwich import porcelain
from standardwebhooks import Webhook, WebhookVerificationError

EXAMPLES = Path(__file__).resolve().parent
CLI = [sys.executable, "-m", "ansible_api.cli"]
AUTHOR = b"demo <demo@localhost>"
START_LIMIT = 60
WEBHOOK_LIMIT = 20


class DemoFailed(Exception):
    """A step did not do what it should."""


def main() -> None:
    """Run every step."""
    with tempfile.TemporaryDirectory(prefix="ansible-api-demo-") as name:
        work = Path(name)
        step("a git repository out of examples/playbooks")
        repository = make_repository(work / "playbooks")
        step("ansible-api up")
        with receiver() as (callback_url, received), service(work / "data") as url:
            secret = (work / "data" / "webhook.secret").read_text().strip()
            client = {**clean_environment(), "ANSIBLE_API_URL": url}
            key = ["--key-file", str(work / "data" / "admin.key")]
            job_id = submit(client, key, repository, callback_url)
            show_log(client, key, job_id)
            show_webhook(received, secret, job_id)
            step("SIGTERM to up")
    print("\nEverything worked; nothing is left behind.")


def make_repository(path: Path) -> Path:
    """The example playbooks as a git repository with one commit."""
    shutil.copytree(EXAMPLES / "playbooks", path)
    files = [file for file in path.rglob("*") if file.is_file()]
    with porcelain.init(path) as repository:
        porcelain.add(repository, files)
        porcelain.commit(repository, message=b"A release", author=AUTHOR, committer=AUTHOR, sign=False)
    return path


@contextmanager
def service(data: Path) -> Iterator[str]:
    """`ansible-api up` on a free port, stopped at the end; gives its address."""
    command = [*CLI, "up", "--data", str(data), "--port", "0"]
    # Callbacks to this machine are refused but where this setting allows them.
    env = {**clean_environment(), "ANSIBLE_API_LOOPBACK_EGRESS": "true"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as up:
        watchdog = threading.Timer(START_LIMIT, up.terminate)
        watchdog.start()
        try:
            address = wait_for_ready(up)
            watchdog.cancel()
            yield address
        finally:
            watchdog.cancel()
            up.terminate()
            up.communicate()
    if up.returncode != 0:
        raise DemoFailed(f"up ended with exit code {up.returncode}")


def wait_for_ready(up: "subprocess.Popen[str]") -> str:
    """Show what `up` says until it is ready, and return its address."""
    for line in up.stdout or ():
        print(f"  {line}", end="")
        if line.startswith("ready: "):
            return line.removeprefix("ready: ").strip()
    raise DemoFailed("up ended before it was ready")


def submit(client: dict[str, str], key: list[str], repository: Path, callback_url: str) -> str:
    """Submit the job and watch it; returns its id."""
    hosts = [word for host in ("web1", "web2", "db1", "cache1") for word in ("--host", host)]
    what = ["--repo", str(repository), "--path", "site.yml", "--extra-var", "release=2.0"]
    command = ["submit", *what, *hosts, "--callback-url", callback_url, "--watch"]
    step(f"ansible-api {' '.join(command)}")
    code = subprocess.run([*CLI, *command, *key], env=client, check=False).returncode
    if code != 0:
        raise DemoFailed(f"submit ended with exit code {code}, not 0")
    page = json.loads(output(client, ["jobs", "--limit", "1", "--json", *key]))
    return str(page["items"][0]["id"])


def show_log(client: dict[str, str], key: list[str], job_id: str) -> None:
    """Fetch the stored log and show its end."""
    step(f"ansible-api logs {job_id}")
    lines = output(client, ["logs", job_id, *key]).splitlines()
    if not any("PLAY RECAP" in line for line in lines):
        raise DemoFailed("the log does not hold the whole play")
    print(f"  {len(lines)} lines; the last ones:")
    print("\n".join(f"  {line}" for line in lines[-6:]))


def show_webhook(received: "Queue[tuple[dict[str, str], bytes]]", secret: str, job_id: str) -> None:
    """Wait for the webhook and verify its signature."""
    step("the webhook that the receiver got")
    try:
        headers, body = received.get(timeout=WEBHOOK_LIMIT)
        payload: Any = Webhook(secret).verify(body, headers)
    except Empty:
        raise DemoFailed(f"no webhook came within {WEBHOOK_LIMIT} s") from None
    except WebhookVerificationError as error:
        raise DemoFailed(f"the signature of the webhook is wrong: {error}") from None
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        print(f"  {name}: {headers[name]}")
    print(f"  body: {body.decode()[:160]}…")
    if job_id not in body.decode():
        raise DemoFailed(f"the webhook is not about {job_id}: {payload}")
    print("  the signature is right")


@contextmanager
def receiver() -> Iterator[tuple[str, "Queue[tuple[dict[str, str], bytes]]"]]:
    """An HTTP server that keeps what it is sent; gives its address and the queue of (headers, body)."""
    received: Queue[tuple[dict[str, str], bytes]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the name of the base class
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook", received
        finally:
            server.shutdown()


def output(client: dict[str, str], command: list[str]) -> str:
    """What a client command prints; DemoFailed when it fails."""
    done = subprocess.run([*CLI, *command], env=client, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise DemoFailed(f"ansible-api {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """The environment without settings of another ansible-api."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_API_")}


def step(text: str) -> None:
    """A heading with the time since the start."""
    print(f"\n[{time.monotonic() - STARTED:4.1f} s] {text}", flush=True)


STARTED = time.monotonic()

if __name__ == "__main__":
    # So that the steps clean up behind them when somebody ends the demo.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except DemoFailed as failure:
        sys.exit(f"\nThe demo failed: {failure}")
