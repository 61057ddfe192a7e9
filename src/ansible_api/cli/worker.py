"""`ansible-api worker`: run jobs of some queues."""

from pathlib import Path
from typing import Annotated

import typer

from ansible_api.routing import Queue
from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def worker(
    queue: Annotated[list[Queue] | None, typer.Option(help="Queue to serve; repeatable. All when absent.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 2,
    ready_file: Annotated[Path | None, typer.Option(help="Touch this file when the worker takes jobs.")] = None,
) -> None:
    """Take jobs from the queues until SIGTERM; running plays may end within ANSIBLE_API_SHUTDOWN_GRACE."""
    from ansible_api.tasks.start import run_worker

    run_worker(load_settings(), queue or list(Queue), concurrency=concurrency, ready_file=ready_file)
