"""`ansible-api cancel`: ask for the end of a job."""

import typer

from ansible_api.cli.connection import AsJson, JobId, KeyFile, Url, connect
from ansible_api.cli.exits import exits_in_help
from ansible_api.cli.live import print_json
from ansible_api.cli.text import clean_line

app = typer.Typer(add_completion=False)


@app.command(help="Cancel a job that waits or runs.", epilog=exits_in_help())
def cancel(job: JobId, url: Url = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Cancel a job; a running one ends within seconds."""
    with connect(url, key_file) as client:
        answer = client.cancel(job)
    if as_json:
        print_json(answer)
    else:
        said = "canceled" if answer["status"] == "canceled" else f"{clean_line(answer['status'])}, cancel requested"
        typer.echo(f"{clean_line(answer['id'])}: {said}")
