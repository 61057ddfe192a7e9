"""API keys: random, with an id in front, kept as a digest."""

import hashlib

import pytest

from ansible_api.keys.digest import digest, key_id, make_key, matches


def test_a_key_holds_its_id_and_is_never_made_twice() -> None:
    keys = [make_key() for _ in range(50)]
    assert all(key_id(key.text) == key.id for key in keys)
    assert len({key.text for key in keys}) == len({key.id for key in keys}) == 50


def test_only_the_digest_of_the_whole_key_is_kept() -> None:
    key = make_key()
    assert key.digest == digest(key.text) == hashlib.sha256(key.text.encode()).hexdigest()
    assert matches(key.text, key.digest)
    assert not matches(key.text[:-1] + ("A" if key.text[-1] != "A" else "B"), key.digest)


@pytest.mark.parametrize("form", ["{} ", " {}", "{}\n", "x{}", "{}x", "{}{}"])
def test_a_key_with_anything_around_it_has_no_id(form: str) -> None:
    text = make_key().text
    assert key_id(form.format(text, text)) is None


@pytest.mark.parametrize("text", ["", "aak__", f"aak_{'0' * 24}_", f"aak_{'0' * 24}_{'é' * 43}", "Bearer x"])
def test_other_texts_have_no_id(text: str) -> None:
    assert key_id(text) is None
