"""`ansible-api keys`: API keys, made where the database is within reach."""

from contextlib import closing
from typing import Annotated

import typer

from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False, help="API keys, made without the API.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    pass


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    role: Annotated[str, typer.Option(help="viewer, submitter or admin.")] = "submitter",
    team: Annotated[str, typer.Option(help="The team whose jobs and credentials it sees.")] = "default",
) -> None:
    """Make a key and print it: it is not shown again."""
    from ansible_api.db import Database
    from ansible_api.keys import store
    from ansible_api.keys.model import Role
    from ansible_api.routing import JOB_QUEUES

    if role not in list(Role):
        raise typer.BadParameter(f"role must be one of {', '.join(Role)}")
    queues = list(JOB_QUEUES) if role == Role.ADMIN else None
    with closing(Database(load_settings().database_url.get_secret_value())) as db:
        _, new = db.write(store.create, team=team, name=name, role=Role(role), queues=queues)
    typer.echo(new.text)
