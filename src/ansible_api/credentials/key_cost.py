"""What opening an encrypted private key would cost: the key says it itself, and a hostile one says hours."""

import re
import struct
from binascii import Error, a2b_base64
from collections.abc import Iterator
from math import prod

LONGEST = 16 * 1024  # bytes of text; an RSA key of 16384 bits takes 13 thousand
MOST_ROUNDS = 256  # of bcrypt, about 20 ms each; ssh-keygen takes 16, or what its -a says
MOST_ITERATIONS = 1_000_000  # of PBKDF2; openssl takes 2048
MOST_SCRYPT = 1 << 20  # N · r · p, each 128 bytes
_OPENSSH = re.compile(b"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
_PKCS8 = re.compile(b"-----BEGIN ENCRYPTED PRIVATE KEY-----(.*?)-----END", re.DOTALL)
_SCRYPT = bytes.fromhex("2b06010401da47040b")  # its object identifier
SEQUENCE, INTEGER = 0x30, 0x02


def check_cost(text: bytes) -> None:
    """ValueError for a key that takes too long to open; one that cannot be read is left to who opens it."""
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST} bytes: give one private key of at most 16384 bits")
    try:
        costly = _openssh_is_costly(text) or _pkcs8_is_costly(text)
    except (Error, IndexError, struct.error):
        return
    except RecursionError:
        costly = True
    if costly:
        raise ValueError("its passphrase takes too many rounds to try: encrypt the key with the usual number")


def _openssh_is_costly(text: bytes) -> bool:
    found = _OPENSSH.search(text)
    if not found:
        return False
    rest = a2b_base64(found[1]).removeprefix(b"openssh-key-v1\0")
    _cipher, rest = _string(rest)
    _kdf, rest = _string(rest)
    options, _ = _string(rest)
    if not options:
        return False
    _salt, rounds = _string(options)
    return bool(struct.unpack(">I", rounds[:4])[0] > MOST_ROUNDS)


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A text with its length before it, and what follows."""
    (length,) = struct.unpack(">I", data[:4])
    return data[4 : 4 + length], data[4 + length :]


def _pkcs8_is_costly(text: bytes) -> bool:
    for found in _PKCS8.finditer(text):
        if b":" in found[1]:
            return True  # headers, which no program writes there, and behind which another key could stand
        ((_, whole), *_) = _elements(a2b_base64(found[1]))
        ((_, algorithm), *_) = _elements(whole)
        numbers = list(_integers(algorithm))
        if max(numbers, default=0) > MOST_ITERATIONS or (_SCRYPT in algorithm and prod(numbers) > MOST_SCRYPT):
            return True
    return False


def _integers(der: bytes) -> Iterator[int]:
    for tag, content in _elements(der):
        if tag == SEQUENCE:
            yield from _integers(content)
        elif tag == INTEGER:
            yield int.from_bytes(content, "big")


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """The tags and contents of a row of DER elements."""
    found = []
    while der:
        tag, length, start = der[0], der[1], 2
        if length > 127:
            start += length & 127
            length = int.from_bytes(der[2:start], "big")
        found.append((tag, der[start : start + length]))
        der = der[start + length :]
    return found
