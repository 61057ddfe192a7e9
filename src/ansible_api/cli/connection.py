"""Which API, and with which key: the options that every client command takes. A key is never an argument."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ansible_api.cli.client import Client
from ansible_api.cli.exits import CommandError

DEFAULT_URL = "http://127.0.0.1:8000"

Url = Annotated[str | None, typer.Option("--url", help=f"the API; else ANSIBLE_API_URL, else {DEFAULT_URL}")]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="file with the API key; else ANSIBLE_API_KEY")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON documents, one a line, for scripts")]
JobId = Annotated[str, typer.Argument(metavar="JOB")]


def api_url(option: str | None) -> str:
    """The address of the API, checked."""
    url = option or os.environ.get("ANSIBLE_API_URL") or DEFAULT_URL
    scheme, separator, rest = url.partition("://")
    if scheme not in ("http", "https") or not separator or not rest or any(letter.isspace() for letter in url):
        raise CommandError(f"{url!r} is not an address: give http://HOST:PORT or https://HOST")
    if "@" in rest.split("/", 1)[0]:
        raise CommandError("leave user and password out of the address: the API wants a key")
    return url


def api_key(option: Path | None) -> str:
    """The API key, from the file or the environment."""
    key = _read(option) if option else os.environ.get("ANSIBLE_API_KEY", "").strip()
    if not key:
        raise CommandError("no API key: set ANSIBLE_API_KEY or name a file with --key-file")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CommandError("the API key has characters that no key has: is it the right file?")
    return key


def connect(url: str | None, key_file: Path | None) -> Client:
    """A client for the options of a command."""
    return Client(api_url(url), api_key(key_file))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise CommandError(f"--key-file {path}: {reason}") from None
