"""Takes every known secret out of whatever leaves the worker."""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

MASK = "********"
SHORTEST = 3  # below this a secret is as likely as not an ordinary part of a word
SHORTEST_LINE = 8  # of a secret of several lines
SHORTEST_BASE64 = 8


class Mask:
    """Replaces secret values in texts and JSON documents; also escaped as JSON, percent-encoded or in base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
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


def _forms(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines()]
    whole = secret.strip()
    several = len(lines) > 1
    plain = {whole, "\r\n".join(lines).strip()}  # a terminal writes \r\n
    # The header of a key says only that there is a key.
    plain |= {line for line in lines if several and len(line) >= SHORTEST_LINE and not line.startswith("-----")}
    for form in plain:
        if len(form) >= SHORTEST and form.strip("*"):
            yield form
            yield from _escaped(form)
            yield quote(form, safe="")
            yield from _base64(form)
    if len(secret) >= SHORTEST_BASE64:
        yield base64.b64encode(secret.encode()).decode()


def _escaped(text: str) -> Iterator[str]:
    """Inside a JSON text, and inside a JSON text inside another one."""
    for ascii_only in (False, True):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]


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
