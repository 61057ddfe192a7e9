"""`ansible-api up`: the whole service on one machine, with no server to install."""

import contextlib
import http.client
import importlib.util
import json
import os
import shlex
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from typer import Option

from ansible_api import __version__
from ansible_api.cli import embedded
from ansible_api.cli.datadir import DataDir, once
from ansible_api.cli.exits import CommandError
from ansible_api.cli.hello import make_repository
from ansible_api.cli.live import terminal
from ansible_api.cli.supervisor import Part, StopRequested, Supervisor
from ansible_api.routing import JOB_QUEUES, Queue

START_LIMIT = 60.0
DELIVERY_CONCURRENCY = 2
COMMAND = (sys.executable, "-P", "-m", "ansible_api.cli")

app = typer.Typer(add_completion=False)


@app.command()
def up(
    data: Annotated[Path, Option(help="where everything is kept")] = Path("data"),
    host: Annotated[str, Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    concurrency: Annotated[int, Option(min=1, help="jobs at a time")] = 2,
    grace: Annotated[float, Option(min=1, help="seconds for everything to stop")] = 30,
    flower: Annotated[bool, Option("--flower", help="watch the queues with Flower")] = False,
    flower_port: Annotated[int, Option(min=1, max=65535)] = 5555,
) -> None:
    """Run API, worker, Redis and database on this machine until Ctrl-C."""
    if flower and importlib.util.find_spec("flower") is None:
        raise CommandError("Flower is not installed: install the extra ansible-api[embedded]")
    directory = DataDir(data.absolute())
    with ExitStack() as stack:
        stack.enter_context(directory.locked())
        directory.prepare()
        listener = stack.enter_context(_listen(host, port))
        engine = None if _is_set("REDIS_URL") else embedded.choose_engine()
        redis_socket = stack.enter_context(directory.socket())
        service = Service(directory, listener, _url(host, listener), engine, redis_socket)
        env = service.environment(os.environ, grace)
        with contextlib.suppress(StopRequested), Supervisor(env, say, grace) as supervisor:
            service.start(supervisor, concurrency, flower_port if flower else None)
            supervisor.watch()
        say("stopped")


def say(text: str, style: str = "") -> None:
    """A line on the terminal."""
    terminal().print(Text(text, style), soft_wrap=True)


@dataclass(frozen=True)
class Service:
    """What `up` runs, and with which settings."""

    directory: DataDir
    listener: socket.socket
    url: str
    engine: embedded.Engine | None
    redis_socket: Path

    def environment(self, own: Mapping[str, str], grace: float) -> dict[str, str]:
        """The environment of every part: what the user has set wins; the client's own key stays out."""
        path = self.directory.path
        defaults = {
            "DATABASE_URL": f"sqlite:///{path / 'ansible-api.db'}",
            "REDIS_URL": embedded.url_of(self.redis_socket),
            "MASTER_KEY_FILE": str(self.directory.master_key),
            "OBJECTS_DIR": str(path / "objects"),
            "STATE_DIR": str(path / "state"),
            "ALLOW_LOCAL_REPOS": "true",
            "PUBLIC_URL": self.url,
            "SHUTDOWN_GRACE": str(grace / 2),
        }
        if _is_set("S3_BUCKET", own):
            del defaults["OBJECTS_DIR"]
        settings = {f"ANSIBLE_API_{name}": value for name, value in defaults.items() if not _is_set(name, own)}
        env = {**own, **settings, "PYTHONUNBUFFERED": "1"}
        return {name: value for name, value in env.items() if name not in ("ANSIBLE_API_KEY", "ANSIBLE_API_URL")}

    def start(self, supervisor: Supervisor, concurrency: int, flower_port: int | None) -> None:
        """Start everything in the order in which it needs each other, and say when jobs run."""
        say(f"ansible-api {__version__}, process {os.getpid()}, data in {self.directory.path}", "bold")
        if self.engine is not None:
            supervisor.start(self._redis(self.engine))
            supervisor.wait_until(lambda: embedded.answers(self.redis_socket), START_LIMIT, self.engine.name)
        supervisor.run("db upgrade", [*COMMAND, "db", "upgrade"], self.directory.log("setup"))
        make_repository(self.directory.path / "hello")
        if flower_port is not None:
            supervisor.start(self._flower(flower_port))
        supervisor.start(self._part("api", "--fd", str(self.listener.fileno()), fds=(self.listener.fileno(),)))
        # Log upload and webhooks have a worker of their own: they never wait behind a playbook. It stops last.
        supervisor.start(self._worker("delivery", (Queue.DELIVERY,), DELIVERY_CONCURRENCY))
        supervisor.start(self._worker("worker", JOB_QUEUES, concurrency))
        self._make_secrets(supervisor)  # while those start
        supervisor.wait_until(self._is_ready, START_LIMIT, "start of API and worker")
        self._introduce(flower_port)

    def _make_secrets(self, supervisor: Supervisor) -> None:
        log = self.directory.log("setup")
        key = ["keys", "create", "--name", "admin", "--role", "admin", "--team", "default"]
        once(self.directory.admin_key, lambda: supervisor.run("keys create", [*COMMAND, *key], log))
        secret = ["webhook-secret", "create", "--team", "default"]
        once(self.directory.webhook_secret, lambda: supervisor.run("webhook-secret create", [*COMMAND, *secret], log))

    def _redis(self, engine: embedded.Engine) -> Part:
        # Each engine has a directory of its own: an older one cannot read what a newer one wrote.
        directory = self.directory.path / "redis" / engine.name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Part("redis", engine.argv(directory, self.redis_socket), self.directory.log("redis"))

    def _flower(self, port: int) -> Part:
        return self._part("flower", "--port", str(port))

    def _worker(self, name: str, queues: Sequence[Queue], concurrency: int) -> Part:
        ready = self.directory.ready_file(name)
        named = [word for queue in queues for word in ("--queue", queue.value)]
        argv = [*COMMAND, "worker", *named, "--concurrency", str(concurrency), "--ready-file", str(ready)]
        return Part(name, argv, self.directory.log(name), before_start=lambda: ready.unlink(missing_ok=True))

    def _part(self, name: str, *arguments: str, fds: tuple[int, ...] = ()) -> Part:
        return Part(name, [*COMMAND, name, *arguments], self.directory.log(name), fds)

    def _is_ready(self) -> bool:
        workers = (self.directory.ready_file(name) for name in ("worker", "delivery"))
        return all(file.exists() for file in workers) and _answers_ok(self.url, "/ready")

    def _introduce(self, flower_port: int | None) -> None:
        say(f"  API key         {self.directory.admin_key}")
        say(f"  webhook secret  {self.directory.webhook_secret}")
        say(f"  master key      {self.directory.master_key}  (keep a copy: without it no stored credential opens)")
        say(f"  logs            {self.directory.path / 'logs'}")
        if flower_port is not None:
            say(f"  Flower          http://127.0.0.1:{flower_port}")
        say("a first job:")
        say(self._curl(), "cyan")
        say(f"ready: {self.url}", "bold green")

    def _curl(self) -> str:
        body = {
            "source": {"type": "playbook", "repo": str(self.directory.path / "hello"), "path": "hello.yml"},
            "inventory": {"type": "inline", "hosts": ["localhost"]},
        }
        key = shlex.quote(str(self.directory.admin_key))
        direct = "--noproxy '*' " if urllib.request.getproxies() else ""
        return (
            f'curl -sS {direct}-H "Authorization: Bearer $(cat {key})" -H "Content-Type: application/json" '
            f"-d {shlex.quote(json.dumps(body))} '{self.url}/api/v1/jobs?wait=30'"
        )


def _is_set(name: str, environ: Mapping[str, str] = os.environ) -> bool:
    variable = "ANSIBLE_API_" + name.removesuffix("_FILE")
    return variable in environ or variable + "_FILE" in environ


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise CommandError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from None


def _url(host: str, listener: socket.socket) -> str:
    # An address for everybody is no address to call.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _answers_ok(url: str, path: str) -> bool:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
