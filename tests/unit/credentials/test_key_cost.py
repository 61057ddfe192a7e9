"""Keys that would take hours to open are told before it is tried."""

import re
import struct
import time
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from ansible_api.credentials.fields import WithKey
from ansible_api.credentials.key_cost import MOST_ITERATIONS, MOST_ROUNDS, check_cost

KEY = Ed25519PrivateKey.generate()


def pem(label: str, data: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label.encode(), b64encode(data), label.encode())


def openssh(rounds: int) -> bytes:
    """Ours writes 16."""
    text = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"pass"))
    data = b64decode(b"".join(text.splitlines()[1:-1]))
    (at,) = [found.start() for found in re.finditer(struct.pack(">I", 16) + struct.pack(">I", 1), data)]
    return pem("OPENSSH PRIVATE KEY", data[:at] + struct.pack(">I", rounds) + data[at + 4 :])


def element(tag: int, content: bytes) -> bytes:
    length = bytes([len(content)]) if len(content) < 128 else b"\x82" + struct.pack(">H", len(content))
    return bytes([tag]) + length + content


def number(value: int) -> bytes:
    return element(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def pkcs8(identifier: str, *numbers: int) -> bytes:
    kdf = element(0x30, bytes.fromhex(identifier) + element(0x30, element(4, b"salt") + b"".join(map(number, numbers))))
    algorithm = element(0x30, bytes.fromhex("06092a864886f70d01050d") + element(0x30, kdf))
    return pem("ENCRYPTED PRIVATE KEY", element(0x30, algorithm + element(4, b"x" * 200)))


def nested(depth: int) -> bytes:
    found = b""
    for _ in range(depth):
        found = element(0x30, found)
    return found


NESTED = nested(2000)
PBKDF2, SCRYPT = "06092a864886f70d01050c", "06092b06010401da47040b"


@pytest.mark.parametrize(
    "text",
    [
        openssh(MOST_ROUNDS),
        pkcs8(PBKDF2, MOST_ITERATIONS, 32),
        pkcs8(SCRYPT, 1 << 14, 8, 1),
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")),
        KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        b"no key",
        pem("OPENSSH PRIVATE KEY", b"short"),
        pem("ENCRYPTED PRIVATE KEY", b"\x30"),
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END",
    ],
)
def test_what_others_write_and_what_cannot_be_read_is_left_to_who_opens_it(text: bytes) -> None:
    check_cost(text)


@pytest.mark.parametrize(
    "text",
    [
        openssh(MOST_ROUNDS + 1),
        openssh(2**32 - 1),
        b"first\n" + openssh(2**32 - 1),
        pkcs8(PBKDF2, MOST_ITERATIONS + 1),
        pkcs8(PBKDF2, 2**63),
        pkcs8(SCRYPT, 1 << 18, 8, 1),
        pkcs8(SCRYPT, 1 << 14, 8, 100_000),
        pem("ENCRYPTED PRIVATE KEY", element(0x30, NESTED)),
        pkcs8(PBKDF2, 1).replace(b"KEY-----\n", b"KEY-----\nA: b\n\n", 1),
    ],
)
def test_a_costly_key_is_refused_at_once(text: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="too many rounds"):
        WithKey.opened(SecretStr(text.decode()), SecretStr("pass"))
    assert time.monotonic() - began < 1


def rsa(first: int, second: int) -> bytes:
    """An RSA key of two large primes that everybody knows: 2 to the power of these, less one."""
    p, q = 2**first - 1, 2**second - 1
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = (0, p * q, 65537, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    return pem("RSA PRIVATE KEY", element(0x30, b"".join(map(number, numbers))))


def test_a_large_rsa_key_opens_at_once() -> None:
    began = time.monotonic()
    assert "OPENSSH" in WithKey.opened(SecretStr(rsa(4253, 4423).decode()), None).get_secret_value()
    assert time.monotonic() - began < 3


def test_a_text_longer_than_any_key_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 16384 bytes"):
        WithKey.opened(SecretStr("-----BEGIN RSA PRIVATE KEY-----" + "x" * 20_000), None)
