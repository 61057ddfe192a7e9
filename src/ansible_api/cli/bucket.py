"""`ansible-api bucket`: the bucket of the object store, for S3 servers of one's own."""

import typer

from ansible_api.cli.exits import CommandError
from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False, help="The bucket of the object store.", no_args_is_help=True)


@app.callback()
def _bucket() -> None:
    pass


@app.command()
def create() -> None:
    """Make the bucket that ANSIBLE_API_S3_BUCKET names; safe to repeat."""
    settings = load_settings()
    if settings.s3_bucket is None:
        raise CommandError("there is no bucket to make: ANSIBLE_API_S3_BUCKET is not set")
    from ansible_api.objects import run_unjoined
    from ansible_api.objects.s3 import create_bucket

    made = run_unjoined(create_bucket(settings))
    typer.echo(f"bucket {settings.s3_bucket} {'made' if made else 'is there'}")
