"""`ansible-api jobs`: the newest jobs, or everything about one."""

from typing import Annotated, Any

import typer

from ansible_api.cli.client import Client, Json
from ansible_api.cli.connection import AsJson, KeyFile, Url, connect
from ansible_api.cli.exits import exits_in_help
from ansible_api.cli.live import print_json, terminal
from ansible_api.cli.render import job_details, job_table

MOST_CALLS = 50  # for one page of the command line
app = typer.Typer(add_completion=False)


@app.command(help="List jobs, newest first, or show one.", epilog=exits_in_help())
def jobs(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]")] = None,
    status: Annotated[list[str], typer.Option(help="only these; repeatable")] = [],  # noqa: B006 - Typer reads it
    label: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="only those with it; repeatable")] = [],  # noqa: B006
    queue: Annotated[str | None, typer.Option(help="only those of that queue")] = None,
    repo: Annotated[str | None, typer.Option(help="only those of that repository")] = None,
    key: Annotated[str | None, typer.Option(help="only those that the API key with this id submitted")] = None,
    created_after: Annotated[str | None, typer.Option(metavar="TIME", help="such as 2026-01-15T10:00:00Z")] = None,
    created_before: Annotated[str | None, typer.Option(metavar="TIME", help="the same")] = None,
    text: Annotated[str | None, typer.Option(help="a part of path, repository, role or label")] = None,
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
        said = {"cursor": cursor, "status": status or None, "label": label or None, "queue": queue, "repo": repo}
        said |= {"key": key, "created_after": created_after, "created_before": created_before, "text": text}
        page = _page(client, {name: value for name, value in said.items() if value is not None}, limit)
    if as_json:
        print_json(page)
        return
    terminal().print(job_table(page["items"]), soft_wrap=True)
    if page.get("next_cursor"):
        typer.echo(f"more: --cursor {page['next_cursor']}", err=True)


def _page(client: Client, query: dict[str, Any], limit: int) -> Json:
    """One page, made of several of the API's where those are short: it looks at so many jobs for each."""
    page = client.jobs({"limit": limit, **query})
    for _ in range(1, MOST_CALLS):
        missing = limit - len(page["items"])
        if missing <= 0 or not page.get("next_cursor"):
            break
        more = client.jobs({"limit": missing, **query, "cursor": page["next_cursor"]})
        page = {**more, "items": [*page["items"], *more["items"]]}
    return page
