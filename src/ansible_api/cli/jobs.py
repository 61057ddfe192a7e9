"""`ansible-api jobs`: the newest jobs, or everything about one."""

from typing import Annotated

import typer

from ansible_api.cli.connection import AsJson, KeyFile, Url, connect
from ansible_api.cli.exits import exits_in_help
from ansible_api.cli.live import print_json, terminal
from ansible_api.cli.render import job_details, job_table

app = typer.Typer(add_completion=False)


@app.command(help="List jobs, newest first, or show one.", epilog=exits_in_help())
def jobs(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]")] = None,
    status: Annotated[list[str], typer.Option(help="only these; repeatable")] = [],  # noqa: B006 - Typer reads it
    label: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="only those with it; repeatable")] = [],  # noqa: B006
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before")] = None,
    url: Url = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """List jobs or show one."""
    with connect(url, key_file) as client:
        if job is not None:
            found = client.job(job)
            print_json(found) if as_json else terminal().print(job_details(found))
            return
        said = {"limit": limit, "cursor": cursor, "status": status or None, "label": label or None}
        page = client.jobs({name: value for name, value in said.items() if value is not None})
    if as_json:
        print_json(page)
        return
    terminal().print(job_table(page["items"]), soft_wrap=True)
    if page.get("next_cursor"):
        typer.echo(f"more: --cursor {page['next_cursor']}", err=True)
