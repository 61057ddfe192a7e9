"""`ansible-api queues`: a live table of the queues; pause and resume one."""

import time
from enum import StrEnum
from typing import Annotated

import typer
from rich.live import Live

from ansible_api.cli.client import Client
from ansible_api.cli.connection import AsJson, KeyFile, Url, connect
from ansible_api.cli.exits import CommandError, exits_in_help
from ansible_api.cli.live import print_json, terminal
from ansible_api.cli.render import queue_table

app = typer.Typer(add_completion=False)


class Verb(StrEnum):
    """What to do with a queue."""

    PAUSE = "pause"
    RESUME = "resume"


@app.command(help="Show the queues, or pause or resume one.", epilog=exits_in_help())
def queues(
    verb: Annotated[Verb | None, typer.Argument(metavar="[pause|resume")] = None,
    queue: Annotated[str | None, typer.Argument(metavar="QUEUE]")] = None,
    watch: Annotated[float | None, typer.Option(min=0.2, metavar="SECONDS", help="look again and again")] = None,
    url: Url = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Show, pause or resume."""
    with connect(url, key_file) as client:
        if verb is not None:
            if queue is None:
                raise CommandError(f"which queue? ansible-api queues {verb} QUEUE")
            items = [client.queue(queue, verb)]
        else:
            items = client.queues()
        if as_json:
            print_json({"items": items})
        elif verb is None and watch is not None:
            _watch(client, watch)
        else:
            terminal().print(queue_table(items), soft_wrap=True)


def _watch(client: Client, pause: float) -> None:
    with Live(console=terminal(), auto_refresh=False) as live:
        while True:
            live.update(queue_table(client.queues()), refresh=True)
            time.sleep(pause)
