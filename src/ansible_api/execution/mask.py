"""Takes every known secret out of whatever leaves the worker."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "********"
SHORTEST = 3  # below this a secret is as likely as not an ordinary part of a word
SHORTEST_LINE = 8  # of a secret of several lines
SHORTEST_BASE64 = 8
DEEPEST_JSON = 3  # a document in a document that a command printed, shown by Ansible as JSON
LINE_WIDTHS = (64, 76)  # of base64 in lines, as openssl and others write it
# Of a JSON document, such as a cloud's key file; its other values, such as a project's name, are no secrets.
_SECRET_KEY = re.compile(r"(key|secret|token|password|passphrase)$", re.IGNORECASE)


class Mask:
    """Replaces secret values in texts and JSON documents, in all the ways in which programs commonly write texts.

    These are: as it is, escaped for JSON, YAML, Python, HTML or a shell, percent-encoded, or in base64.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for value in _values(secret) for form in _forms(value)}
        self._needles = sorted(forms, key=lambda form: (-len(form), form))

    def __bool__(self) -> bool:
        return bool(self._needles)

    def finds(self, text: str) -> bool:
        """Whether the text holds a secret."""
        return any(needle in text for needle in self._needles)

    def text(self, text: str) -> str:
        """The text with every stretch that secrets cover, also overlapping ones, replaced."""
        spans = sorted(span for needle in self._needles if needle in text for span in _spans(text, needle))
        parts = []
        position = covered = 0
        for start, end in spans:
            if start >= covered:
                parts += [text[position:start], MASK]
            covered = max(covered, end)
            position = covered
        return "".join([*parts, text[position:]])

    def document(self, value: Any) -> Any:
        """A copy of a JSON document with all its texts masked, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.document(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.document(item) for item in value]
        return value


def _values(secret: str) -> Iterator[str]:
    """The secret, and where it is a JSON document the secrets in it, which programs take out and print."""
    yield secret
    if secret.lstrip().startswith(("{", "[")):
        try:
            yield from _inside(json.loads(secret))
        except (ValueError, RecursionError):
            return


def _inside(document: Any, name: str = "") -> Iterator[str]:
    if isinstance(document, dict):
        for key, item in document.items():
            yield from _inside(item, key)
    elif isinstance(document, list):
        for item in document:
            yield from _inside(item, name)
    elif isinstance(document, str) and _SECRET_KEY.search(name):
        yield document


def _forms(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines()]
    whole = secret.strip()
    several = len(lines) > 1
    plain = {whole, "\r\n".join(lines).strip()}  # a terminal writes \r\n
    # The header of a key says only that there is a key.
    plain |= {line for line in lines if several and len(line) >= SHORTEST_LINE and not line.startswith("-----")}
    for form in plain:
        if len(form) >= SHORTEST and form.strip("*"):
            yield from _escaped({form, *_quoted(form)})
            yield from _percent_encoded(form)
            yield from _base64(form)
    if len(secret) >= SHORTEST_BASE64:
        yield base64.b64encode(secret.encode()).decode()
        yield from chain.from_iterable(map(_base64_lines, {secret, whole, whole + "\n"}))


def _escaped(texts: set[str]) -> set[str]:
    """As they are, and inside JSON texts inside others, with or without escapes of what is not ASCII."""
    found = texts
    for _ in range(DEEPEST_JSON):
        texts = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in texts for ascii_only in (False, True)}
        found = found | texts
    return found


def _quoted(text: str) -> Iterator[str]:
    """Inside quotes of Python, YAML or a shell, and of a shell within a shell; and in HTML."""
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(text.encode())[2:-1]
    yield text.replace("'", "''")
    once = shlex.quote(text)[1:-1] if "'" in text else text
    yield once
    yield once.replace("'", "'\"'\"'")
    yield html.escape(text)
    yield html.escape(text, quote=False)


def _percent_encoded(text: str) -> Iterator[str]:
    for coded in (quote(text, safe=""), quote(text), quote_plus(text)):
        yield coded
        yield re.sub("%..", lambda found: found[0].lower(), coded)


def _base64_lines(text: str) -> Iterator[str]:
    """The long lines of its base64, where that has several."""
    coded = base64.b64encode(text.encode()).decode()
    for width in LINE_WIDTHS:
        lines = [coded[start : start + width] for start in range(0, len(coded), width)]
        yield from (line for line in lines if len(lines) > 1 and len(line) >= SHORTEST_LINE)


def _base64(text: str) -> Iterator[str]:
    """The part that does not depend on what stands beside it, at each of the three places it may begin."""
    if len(text) < SHORTEST_BASE64:
        return
    for before, affected in enumerate((0, 2, 3)):  # bytes in front, and how many characters they have a part in
        data = bytes(before) + text.encode()
        coded = base64.b64encode(data)[affected : len(data) * 8 // 6].decode()
        yield coded
        yield coded.replace("+", "-").replace("/", "_")


def _spans(text: str, needle: str) -> Iterator[tuple[int, int]]:
    """Where the needle stands; stretches where it overlaps itself come as one."""
    first = text.find(needle)
    start = first
    while start >= 0:
        following = text.find(needle, start + 1)
        if following < 0 or following > start + len(needle):
            yield first, start + len(needle)
            first = following
        start = following
