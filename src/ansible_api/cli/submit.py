"""`ansible-api submit`: send a job, and watch it or wait for it."""

import time
import uuid
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer import Option

from ansible_api.cli.client import LONGEST_WAIT, Client
from ansible_api.cli.connection import AsJson, KeyFile, Url, connect
from ansible_api.cli.exits import CommandError, Exit, exit_of, exits_in_help
from ansible_api.cli.live import print_json, terminal, viewer, watch_job
from ansible_api.cli.render import outcome
from ansible_api.cli.request import Flags, build, labels, read_mapping, split
from ansible_api.cli.text import clean_line

app = typer.Typer(add_completion=False)

Json = dict[str, Any]
Name = str | None
Names = list[str]
Secret = "name of a stored credential"  # noqa: S105 - a help text
_HELP = """Send a job: a request in a file, flags, or flags over a file.

With --watch follow it, with --wait wait for its end; else print its id."""


@app.command(help=_HELP, epilog=exits_in_help())
def submit(
    file: Annotated[str | None, Option("--file", "-f", help="the request, JSON or YAML; - is standard input")] = None,
    repo: Annotated[Name, Option(help="git URL")] = None,
    branch: Annotated[Name, Option(help="branch, tag or full commit")] = None,
    path: Annotated[Names, Option(help="playbook in the repository; repeatable")] = [],  # noqa: B006
    git_credential: Annotated[Name, Option(help=Secret)] = None,
    host: Annotated[Names, Option(help="a managed host; repeatable")] = [],  # noqa: B006
    group: Annotated[Names, Option(metavar="NAME=HOST,HOST", help="repeatable")] = [],  # noqa: B006
    extra_var: Annotated[Names, Option("--extra-var", "-e", help="NAME=VALUE, JSON or @FILE; repeatable")] = [],  # noqa: B006
    ssh: Annotated[Name, Option(help=Secret)] = None,
    become_password: Annotated[Name, Option(help=Secret)] = None,
    vault_password: Annotated[Name, Option(help=Secret)] = None,
    limit: Annotated[Name, Option(help="pattern of hosts")] = None,
    tags: Annotated[Names, Option(help="repeatable, or with commas")] = [],  # noqa: B006
    skip_tags: Annotated[Names, Option(help="repeatable, or with commas")] = [],  # noqa: B006
    check: Annotated[bool | None, Option("--check", help="predict, change nothing")] = None,
    diff: Annotated[bool | None, Option("--diff", help="show what changes in files")] = None,
    verbose: Annotated[int, Option("--verbose", "-v", count=True, help="repeatable")] = 0,
    plan: Annotated[bool | None, Option("--plan", help="say what would run, and run nothing")] = None,
    label: Annotated[Names, Option(metavar="NAME=VALUE", help="repeatable")] = [],  # noqa: B006
    forks: Annotated[int | None, Option(help="hosts at a time")] = None,
    timeout: Annotated[int | None, Option(help="seconds from the start of the play")] = None,
    queue: Annotated[Name, Option(help="instead of the one that fits")] = None,
    priority: Annotated[int | None, Option(help="0 to 9, 9 is most urgent")] = None,
    callback_url: Annotated[Name, Option(help="gets a signed POST when the job ends")] = None,
    idempotency_key: Annotated[Name, Option(help="the same key and request make one job")] = None,
    watch: Annotated[bool, Option("--watch", help="follow the job to its end")] = False,
    wait: Annotated[int, Option(min=0, metavar="SECONDS", help="wait so long for its end")] = 0,
    url: Url = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Send a job."""
    options = {"timeout": timeout, "callback_url": callback_url, "tags": split(tags), "skip_tags": split(skip_tags)}
    options |= {"limit": limit, "verbosity": verbose or None, "check_mode": check, "diff_mode": diff, "forks": forks}
    flags = Flags(
        source={"repo": repo, "branch": branch, "path": _one_or_all(path), "git_credential": git_credential},
        hosts=host,
        groups=group,
        credentials={"ssh": ssh, "become_password": become_password, "vault_password": vault_password},
        extra_vars=extra_var,
        options=options
        | {"queue": queue, "priority": priority, "dry_run": "plan" if plan else None, "labels": labels(label)},
    )
    body = build(read_mapping(file, "--file") if file else {}, flags)
    with connect(url, key_file) as client:
        key = idempotency_key or str(uuid.uuid4())
        raise typer.Exit(follow(client, lambda seconds: client.submit(body, key, seconds), watch, wait, as_json))


def follow(client: Client, send: Callable[[int], Json], watch: bool, wait: int, as_json: bool) -> Exit:
    """Send a job (`send` waits so many seconds for its end), then watch it, wait for it, or print its id."""
    if watch and wait:
        raise CommandError("give --watch or --wait, not both")
    deadline = time.monotonic() + wait
    job = send(min(wait, LONGEST_WAIT))
    if watch:
        if not as_json:
            typer.echo(f"{clean_line(job['id'])} on queue {clean_line(job.get('queue'))}", err=True)
        return watch_job(client, job["id"], viewer(as_json))
    if wait:
        return _wait(client, job, deadline, as_json)
    print_json(job) if as_json else typer.echo(clean_line(job["id"]))
    return Exit.SUCCESSFUL


def _wait(client: Client, job: Json, deadline: float, as_json: bool) -> Exit:
    try:
        job = client.wait_for_end(job, deadline)
    except KeyboardInterrupt:
        typer.echo(f"\n{job['id']} goes on; to end it: ansible-api cancel {job['id']}", err=True)
        return Exit.INTERRUPTED
    print_json(job) if as_json else terminal().print(outcome(job), soft_wrap=True)
    return exit_of(job["status"])


def _one_or_all(paths: Names) -> str | Names | None:
    return paths[0] if len(paths) == 1 else paths or None
