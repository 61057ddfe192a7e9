"""`ansible-api db`: the database's schema."""

from typing import Annotated

import typer

from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False, help="The database's schema.", no_args_is_help=True)


@app.callback()
def _db() -> None:
    pass


@app.command()
def upgrade() -> None:
    """Bring the schema up to date; safe to repeat, and before the new version starts."""
    from ansible_api import schema

    typer.echo(f"schema at {schema.upgrade(load_settings().database_url.get_secret_value())}")


@app.command()
def wait(timeout: Annotated[float, typer.Option(min=0, help="Seconds; then it ends with code 1.")] = 300) -> None:
    """Wait until the database answers with the schema of this version: for containers that start in any order."""
    from ansible_api import schema

    schema.wait_until_current(load_settings().database_url.get_secret_value(), timeout)
