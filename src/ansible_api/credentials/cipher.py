"""Envelope encryption: a data key per secret seals it with AES-256-GCM, a versioned master key wraps the data key.

The associated data names team, id and field, so that a sealed value moved to another row does not open.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from ansible_api.errors import StartupError

KEY_BYTES, NONCE_BYTES = 32, 12
REMEDY = "ANSIBLE_API_MASTER_KEY must be version:base64 of 32 bytes, such as 1:…; several with commas"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value with its wrapped data key."""

    ciphertext: bytes
    wrapped_key: bytes
    key_version: int


class Cipher:
    """Seals with the newest master key, opens with any that is configured."""

    def __init__(self, master_keys: Mapping[int, bytes]) -> None:
        self._keys = {version: AESGCM(key) for version, key in master_keys.items()}
        # A key of its own for each use.
        self._digest_keys = {version: hmac.digest(key, b"digest", "sha256") for version, key in master_keys.items()}
        self.newest = max(master_keys)

    def __repr__(self) -> str:
        return f"Cipher(versions={sorted(self._keys)})"

    @classmethod
    def from_setting(cls, text: SecretStr) -> Self:
        """Parse `1:base64,2:base64`."""
        keys: dict[int, bytes] = {}
        for part in text.get_secret_value().split(","):
            version, _, encoded = part.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise StartupError(REMEDY) from None
            if not version.isdigit() or len(key) != KEY_BYTES:
                raise StartupError(REMEDY)
            keys[int(version)] = key
        return cls(keys)

    def seal(self, plaintext: bytes, context: tuple[str, ...]) -> Sealed:
        data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
        bound = _associated(context)
        return Sealed(
            _encrypt(AESGCM(data_key), plaintext, bound),
            _encrypt(self._keys[self.newest], data_key, bound),
            self.newest,
        )

    def open(self, sealed: Sealed, context: tuple[str, ...]) -> bytes:
        """The plaintext; StartupError when the master key is missing or wrong."""
        self.check_version(sealed.key_version)
        master = self._keys[sealed.key_version]
        bound = _associated(context)
        try:
            return _decrypt(AESGCM(_decrypt(master, sealed.wrapped_key, bound)), sealed.ciphertext, bound)
        except InvalidTag:
            raise StartupError(
                f"ANSIBLE_API_MASTER_KEY version {sealed.key_version} is not the key that sealed the stored secrets"
            ) from None

    def check_version(self, version: int) -> None:
        """StartupError when there is no master key of that version."""
        if version not in self._keys:
            raise StartupError(f"ANSIBLE_API_MASTER_KEY lacks version {version}, which stored secrets need")

    def digests(self, data: bytes) -> tuple[str, ...]:
        """What tells data from other data without telling what it is, in hex: by the newest master key, then others.

        A plain hash would do so only for data that nobody can guess.
        """
        versions = sorted(self._digest_keys, reverse=True)
        return tuple(hmac.digest(self._digest_keys[version], data, "sha256").hex() for version in versions)


def _associated(context: tuple[str, ...]) -> bytes:
    return "\x1f".join(context).encode()


def _encrypt(key: AESGCM, plaintext: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + key.encrypt(nonce, plaintext, bound)


def _decrypt(key: AESGCM, ciphertext: bytes, bound: bytes) -> bytes:
    return key.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], bound)
