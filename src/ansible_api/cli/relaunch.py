"""`ansible-api relaunch`: run an ended job again."""

import uuid
from typing import Annotated

import typer
from typer import Option

from ansible_api.cli.connection import AsJson, JobId, KeyFile, Url, connect
from ansible_api.cli.exits import exits_in_help
from ansible_api.cli.submit import follow

app = typer.Typer(add_completion=False)


@app.command(help="Run an ended job again, from the same commit.", epilog=exits_in_help())
def relaunch(
    job: JobId,
    failed: Annotated[bool, Option("--failed", help="only the hosts that failed or were unreachable")] = False,
    latest: Annotated[bool, Option("--latest", help="from what its branch names now")] = False,
    idempotency_key: Annotated[str | None, Option(help="the same key and job make one new job")] = None,
    watch: Annotated[bool, Option("--watch", help="follow the new job to its end")] = False,
    wait: Annotated[int, Option(min=0, metavar="SECONDS", help="wait so long for its end")] = 0,
    url: Url = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a job again."""
    wish = {"hosts": "failed" if failed else "all", "commit": "latest" if latest else "same"}
    with connect(url, key_file) as client:
        key = idempotency_key or str(uuid.uuid4())
        raise typer.Exit(follow(client, lambda seconds: client.relaunch(job, wish, key, seconds), watch, wait, as_json))
