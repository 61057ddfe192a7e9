"""`ansible-api worker`: run jobs of some queues."""

from pathlib import Path
from typing import Annotated

import typer

from ansible_api.cli.exits import CommandError
from ansible_api.routing import Queue
from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def worker(
    context: typer.Context,
    queue: Annotated[list[Queue] | None, typer.Option(help="Queue to serve; repeatable. All when absent.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 2,
    ready_file: Annotated[Path | None, typer.Option(help="Touch this file when the worker takes jobs.")] = None,
) -> None:
    """Take jobs from the queues until SIGTERM; running plays may end within ANSIBLE_API_SHUTDOWN_GRACE."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    from ansible_api.tasks.metrics import count_in_files

    count_in_files(settings)
    from ansible_api.tasks.start import run_worker

    run_worker(settings, queue or list(Queue), concurrency=concurrency, ready_file=ready_file)


@app.command()
def health() -> None:
    """Say whether each worker of ANSIBLE_API_STATE_DIR consumes: for probes; 1 when one does not, or none is there."""
    from ansible_api.tasks.own_dir import ailing

    if trouble := ailing(load_settings().state_dir):
        raise CommandError(trouble)
    typer.echo("healthy")
