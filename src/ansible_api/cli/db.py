"""`ansible-api db`: the database's schema."""

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
