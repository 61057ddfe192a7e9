"""Envelope encryption: what is sealed opens with its key in its place, and nowhere else."""

import base64
from dataclasses import replace

import pytest
from pydantic import SecretStr

from ansible_api.credentials.cipher import Cipher, Sealed
from ansible_api.errors import StartupError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLACE = ("red", "cred-1", "fields")
CIPHER = Cipher({1: OLD})
TEXT = b"canary-plaintext"


def changed(data: bytes, at: int) -> bytes:
    return bytes(byte ^ (index == at % len(data)) for index, byte in enumerate(data))


def test_what_was_sealed_opens_in_its_place() -> None:
    sealed = CIPHER.seal(TEXT, PLACE)
    assert CIPHER.open(sealed, PLACE) == TEXT
    assert TEXT not in sealed.ciphertext + sealed.wrapped_key
    assert OLD not in sealed.ciphertext + sealed.wrapped_key


def test_equal_values_are_sealed_differently() -> None:
    first, second = CIPHER.seal(TEXT, PLACE), CIPHER.seal(TEXT, PLACE)
    assert first.ciphertext != second.ciphertext
    assert first.wrapped_key != second.wrapped_key


@pytest.mark.parametrize("at", [0, 11, 12, 20, -1])
@pytest.mark.parametrize("part", ["ciphertext", "wrapped_key"])
def test_one_changed_bit_is_noticed(part: str, at: int) -> None:
    sealed = CIPHER.seal(TEXT, PLACE)
    with pytest.raises(StartupError, match="MASTER_KEY version 1 is not the key"):
        CIPHER.open(replace(sealed, **{part: changed(getattr(sealed, part), at)}), PLACE)


@pytest.mark.parametrize("place", [("blue", *PLACE[1:]), ("red", "cred-2", "fields"), ("red", "cred-1", "secret")])
def test_a_value_moved_to_another_row_does_not_open(place: tuple[str, ...]) -> None:
    with pytest.raises(StartupError):
        CIPHER.open(CIPHER.seal(TEXT, PLACE), place)


def test_the_parts_of_two_values_cannot_be_mixed() -> None:
    first, second = CIPHER.seal(TEXT, PLACE), CIPHER.seal(b"other", PLACE)
    with pytest.raises(StartupError):
        CIPHER.open(Sealed(first.ciphertext, second.wrapped_key, 1), PLACE)


def test_a_wrong_or_missing_master_key_is_told_without_being_shown() -> None:
    sealed = CIPHER.seal(TEXT, PLACE)
    with pytest.raises(StartupError, match="not the key that sealed") as wrong:
        Cipher({1: NEW}).open(sealed, PLACE)
    with pytest.raises(StartupError, match="lacks version 1"):
        Cipher({2: NEW}).open(sealed, PLACE)
    assert base64.b64encode(NEW).decode() not in str(wrong.value)


def test_the_newest_of_several_keys_seals_and_each_opens_its_own() -> None:
    old = CIPHER.seal(TEXT, PLACE)
    both = Cipher({1: OLD, 2: NEW})
    new = both.seal(TEXT, PLACE)
    assert (old.key_version, new.key_version) == (1, 2)
    assert both.open(old, PLACE) == both.open(new, PLACE) == TEXT
    assert Cipher({2: NEW}).open(new, PLACE) == TEXT


def test_several_keys_stand_in_one_setting() -> None:
    text = ", ".join(f"{version}:{base64.b64encode(key).decode()}" for version, key in ((2, NEW), (1, OLD)))
    cipher = Cipher.from_setting(SecretStr(text))
    assert cipher.newest == 2
    assert cipher.open(CIPHER.seal(TEXT, PLACE), PLACE) == TEXT
    assert "versions=[1, 2]" in repr(cipher)
    assert base64.b64encode(NEW).decode() not in repr(cipher)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1:",
        base64.b64encode(OLD).decode(),
        "1:" + base64.b64encode(OLD[:31]).decode(),
        "one:" + base64.b64encode(OLD).decode(),
        "1:canary!" + base64.b64encode(OLD).decode(),
        "1:" + base64.b64encode(OLD).decode() + ",",
    ],
)
def test_a_malformed_master_key_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(StartupError, match="version:base64 of 32 bytes") as caught:
        Cipher.from_setting(SecretStr(text))
    assert "canary" not in str(caught.value)


def test_a_digest_tells_data_apart_by_a_key_and_stays_known_when_the_key_changes() -> None:
    old, new = bytes(range(32)), bytes(range(1, 33))
    [before] = Cipher({1: old}).digests(b"password 1234")
    assert before not in Cipher({1: new}).digests(b"password 1234"), "without the key nobody can try all passwords"
    assert before != Cipher({1: old}).digests(b"password 1235")[0]
    both = Cipher({1: old, 2: new}).digests(b"password 1234")
    assert both == (*Cipher({2: new}).digests(b"password 1234"), before)
    assert all(len(digest) == 64 for digest in both)
