"""Making and checking API keys: `aak_<id>_<secret>`, kept as a SHA-256 digest.

A plain hash is enough because the secret has 256 random bits: there is no password to guess.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_KEY = re.compile(r"aak_([0-9a-z]{24})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; `text` is shown once."""

    id: str
    text: str
    digest: str


def make_key() -> NewKey:
    key_id = secrets.token_hex(12)
    text = f"aak_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id, text, digest(text))


def key_id(text: str) -> str | None:
    """The id inside a key, or None when the text is no key."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def matches(text: str, expected_digest: str) -> bool:
    """Whether a key has that digest, in constant time."""
    return hmac.compare_digest(digest(text), expected_digest)
