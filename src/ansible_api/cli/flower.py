"""`ansible-api flower`: watch queues, workers and tasks in a browser."""

from typing import Annotated

import typer

from ansible_api.cli.exits import CommandError
from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def flower(
    address: Annotated[str, typer.Option(help="Address to listen on; Flower asks for no password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5555,
) -> None:
    """Serve Flower: task ids are job ids with the attempt, arguments are ids only."""
    try:
        import flower as installed
    except ImportError:
        raise CommandError("Flower is not installed: install the extra ansible-api[embedded]") from None
    from ansible_api.celery import create_app

    del installed
    # The broker's address may hold a password: it goes in by the app, not by argv.
    create_app(load_settings()).start(["flower", f"--address={address}", f"--port={port}"])
