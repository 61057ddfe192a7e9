"""`ansible-api logs`: the whole log of a job, as text or as NDJSON events."""

import codecs
import sys
from collections.abc import Iterator

import typer

from ansible_api.cli.connection import AsJson, JobId, KeyFile, Url, connect
from ansible_api.cli.exits import exits_in_help
from ansible_api.cli.text import clean

app = typer.Typer(add_completion=False)


@app.command(help="Print the log of a job.", epilog=exits_in_help())
def logs(job: JobId, url: Url = None, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Print a log; byte for byte into a file or pipe, without harmful control characters on a terminal."""
    with connect(url, key_file) as client, client.log(job, "ndjson" if as_json else "text") as chunks:
        if sys.stdout.isatty():
            for line in _lines(chunks):
                typer.echo(clean(line), nl=False)
        else:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    decoder, rest = codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    for chunk in chunks:
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from (line + "\n" for line in whole)
    yield rest + decoder.decode(b"", final=True)
