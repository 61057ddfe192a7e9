"""What a play prints must not harm the terminal."""

import random
import re

import pytest

from ansible_api.cli.text import clean, clean_line

SGR_ONLY = re.compile("(?:[^\x00-\x08\x0b-\x1f\x7f-\x9f]|\x1b\\[[0-9;:]*m)*")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[0;32mok: [web1]\x1b[0m", "\x1b[0;32mok: [web1]\x1b[0m"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]52;c;c2VjcmV0\x1b\\text", "text"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP+q544e\x1b\\text", "text"),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("\x9b2Jtext", "text"),
        ("good\rbad", "goodbad"),
        ("a\x08b\x7fc\x00d", "abcd"),
        ("\x1bctext", "text"),
        ("\x1b(0text", "text"),
        ("abc\u202etxt", "abctxt"),
        ("ends with \x1b", "ends with "),
        ("ends with \x1b[", "ends with "),
        ("größer 漢字 🙂", "größer 漢字 🙂"),
    ],
)
def test_only_newline_tab_and_colours_are_kept(given: str, shown: str) -> None:
    assert clean(given) == shown


def test_no_mixture_of_pieces_makes_a_sequence() -> None:
    pieces = ["\x1b", "[", "]", "P", "2J", "0;x", "\x07", "\x1b\\", "\x9b", "31m", "m", "\n", "a", "\x00", "\r", "\x9d"]
    chance = random.Random(7)
    for _ in range(20_000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 10)))
        assert SGR_ONLY.fullmatch(clean(text)), repr(text)


def test_a_name_is_one_line_without_colours() -> None:
    assert clean_line("a\x1b[31m red\nname\t") == "a red name"
