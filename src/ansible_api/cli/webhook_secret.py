"""`ansible-api webhook-secret`: secrets that sign webhooks, made where the database is within reach."""

from contextlib import closing
from typing import Annotated

import typer

from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False, help="Secrets that sign webhooks.", no_args_is_help=True)


@app.callback()
def _webhook_secret() -> None:
    pass


@app.command()
def create(team: Annotated[str, typer.Option(help="The team whose webhooks it signs.")] = "default") -> None:
    """Make a secret and print it: it is not shown again. The two newest sign."""
    from ansible_api.credentials.cipher import Cipher
    from ansible_api.db import Database
    from ansible_api.deliveries import secrets

    settings = load_settings()
    with closing(Database(settings.database_url.get_secret_value())) as db:
        _, secret = db.write(secrets.create_secret, Cipher.from_setting(settings.master_key), team)
    typer.echo(secret.get_secret_value())
