"""Runs inside a play: prints every secret that it can reach, in every way in which programs write texts."""

import base64
import html
import json
import os
import pathlib
import shlex
import sys
import urllib.parse


def told(text):
    data = text.encode()
    yield text
    yield from (repr(text), ascii(text), repr(data), html.escape(text), text.replace("'", "''"))
    yield from (json.dumps(text), json.dumps(json.dumps(text)), json.dumps(text, ensure_ascii=False))
    yield from (shlex.quote(text), shlex.quote("sh -c " + shlex.quote(text)))
    yield from (urllib.parse.quote(text), urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text))
    for before in ("", "u", "us", "user:"):
        coded = (before + text).encode()
        yield from (base64.b64encode(coded).decode(), base64.urlsafe_b64encode(coded).decode())
    yield base64.encodebytes(data).decode()


def reachable():
    for path in pathlib.Path("/dev/shm").rglob("*"):
        if path.is_file() and os.access(path, os.R_OK):
            yield str(path), path.read_text(errors="replace")
    yield from os.environ.items()


def show(*texts):
    sys.stdout.write("\n  ".join(texts) + "\n")


for name, text in reachable():
    show(name, *told(text), *told(text.strip()))
    if text.startswith("{"):
        for key, value in json.loads(text).items():
            show(key, *told(str(value)))
