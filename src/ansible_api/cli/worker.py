"""`ansible-api worker`: run jobs of some queues; drain a worker that does."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ansible_api import loading
from ansible_api.cli.exits import CommandError
from ansible_api.errors import Unavailable
from ansible_api.routing import Queue
from ansible_api.settings import load_settings

T = TypeVar("T")
app = typer.Typer(add_completion=False)
LOOK_AGAIN = 1.0  # seconds


@app.callback(invoke_without_command=True)
def worker(
    context: typer.Context,
    queue: Annotated[list[Queue] | None, typer.Option(help="Queue to serve; repeatable. All when absent.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 2,
    ready_file: Annotated[Path | None, typer.Option(help="Touch this file when the worker takes jobs.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when one job is done.")] = False,
) -> None:
    """Take jobs from the queues until SIGTERM; running plays may end within ANSIBLE_API_SHUTDOWN_GRACE."""
    if context.invoked_subcommand is not None:
        return
    if once and concurrency != 1:
        raise CommandError("--once is for one job: add --concurrency 1")
    settings = load_settings()
    loading.begin()
    from ansible_api.tasks.metrics import counted_in_files

    with counted_in_files(settings):
        from ansible_api.tasks.start import run_worker

        run_worker(settings, queue or list(Queue), concurrency=concurrency, ready_file=ready_file, once=once)


@app.command()
def drain(
    node: Annotated[str | None, typer.Argument(help="A worker as `ansible-api queues --json` names it.")] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the jobs that run.")] = 86400.0,
) -> None:
    """Have a worker take no more jobs, or all on this host, and wait until those that run have ended."""
    from ansible_api.db import Database
    from ansible_api.jobs import workers

    end = time.monotonic() + timeout
    with closing(Database(load_settings().database_url.get_secret_value())) as db:
        named = [node] if node else _until(end, partial(db.read, workers.of_host, socket.gethostname()))
        nodes = [each for each in named if _until(end, partial(db.write, workers.drain, each))]
        if node and not nodes:
            raise CommandError(f"there is no worker {node}")
        while (left := _until(end, partial(db.read, workers.held, nodes))) and time.monotonic() < end:
            time.sleep(LOOK_AGAIN)
    if left:
        raise CommandError(f"{left} jobs still run after {timeout:g} s")
    typer.echo(f"drained: {', '.join(nodes) or 'there was no worker'}")


def _until(end: float, look: Callable[[], T]) -> T:
    """What it says, through an outage of the database: plays go on, and who waits stops the worker."""
    told = False
    while True:
        try:
            return look()
        except Unavailable as error:
            if time.monotonic() >= end:
                raise
            if not told:
                typer.echo(f"waiting: {error}", err=True)
            told = True
            time.sleep(LOOK_AGAIN)


@app.command()
def health() -> None:
    """Say whether each worker of ANSIBLE_API_STATE_DIR consumes: for probes; 1 when one does not, or none is there."""
    from ansible_api.tasks.own_dir import ailing

    if trouble := ailing(load_settings().state_dir):
        raise CommandError(trouble)
    typer.echo("healthy")
