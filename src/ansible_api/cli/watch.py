"""`ansible-api watch`: follow a job that runs, or replay one that has ended."""

import typer

from ansible_api.cli.connection import AsJson, JobId, KeyFile, Url, connect
from ansible_api.cli.exits import exits_in_help
from ansible_api.cli.live import viewer, watch_job

app = typer.Typer(add_completion=False)


@app.command(help="Follow a job: what it prints, its progress, the recap.", epilog=exits_in_help())
def watch(job: JobId, url: Url = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Follow a job to its end."""
    with connect(url, key_file) as client:
        raise typer.Exit(watch_job(client, job, viewer(as_json)))
