import base64
import json
from urllib.parse import quote

import pytest

from ansible_api.execution.mask import MASK, Mask

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAfirstline\nBBBBsecondline\nshort\n-----END OPENSSH PRIVATE KEY-----\n"


def test_a_secret_is_replaced_wherever_it_stands() -> None:
    assert Mask(["hunter2"]).text("hunter2 and hunter2!hunter2") == f"{MASK} and {MASK}!{MASK}"


def test_text_without_secrets_is_left_alone() -> None:
    assert Mask(["hunter2"]).text("hunter 2") == "hunter 2"
    assert Mask([]).text("anything") == "anything"


def test_very_short_secrets_are_left_alone_and_three_letters_are_masked() -> None:
    assert Mask(["ab", "", " "]).text("ab cd") == "ab cd"
    assert Mask(["abc"]).text("xabcx") == f"x{MASK}x"


def test_overlapping_secrets_leave_no_rest() -> None:
    assert Mask(["abcdef", "defghi"]).text("-abcdefghi-") == f"-{MASK}-"
    assert Mask(["abc", "abcdef"]).text("-abcdef-abc-") == f"-{MASK}-{MASK}-"


def test_a_secret_that_overlaps_itself_is_replaced_whole() -> None:
    assert Mask(["aba"]).text("-ababababa-") == f"-{MASK}-"
    assert Mask(["aaaa"]).text("a" * 100_000) == MASK


def test_adjacent_secrets_are_all_replaced() -> None:
    assert "abc" not in Mask(["abc"]).text("abcabc")


def test_masking_twice_changes_nothing() -> None:
    mask = Mask(["secret-value", "****"])
    once = mask.text("a secret-value b")
    assert mask.text(once) == once


def test_long_lines_of_a_key_are_secret_by_themselves() -> None:
    mask = Mask([KEY])
    assert mask.text("x AAAAfirstline y BBBBsecondline z") == f"x {MASK} y {MASK} z"
    assert mask.text("a short word") == "a short word"
    assert mask.text("-----BEGIN OPENSSH PRIVATE KEY-----") == "-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_whole_key_is_masked_with_the_line_ends_of_a_terminal_too(ends: str) -> None:
    assert Mask([KEY]).text("<" + KEY.strip().replace("\n", ends) + ">") == f"<{MASK}>"


@pytest.mark.parametrize("secret", ['pa"ss\\word', "tab\tand\nline", "pässwörd-ü", "snow☃man"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_forms_are_masked_once_and_twice_escaped(secret: str, ascii_only: bool) -> None:
    once = json.dumps({"k": f"x{secret}y"}, ensure_ascii=ascii_only)
    twice = json.dumps({"k": once}, ensure_ascii=ascii_only)
    assert json.loads(Mask([secret]).text(once)) == {"k": f"x{MASK}y"}
    assert json.loads(json.loads(Mask([secret]).text(twice))["k"]) == {"k": f"x{MASK}y"}


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", "\n", "!!", ":x y z"])
def test_base64_is_masked_wherever_the_secret_begins(before: str, after: str) -> None:
    secret = "correct-horse-battery"
    coded = base64.b64encode((before + secret + after).encode()).decode()
    masked = Mask([secret]).text(f"Basic {coded}")
    assert MASK in masked
    rest = masked.removeprefix("Basic ").replace(MASK, "")
    assert len(rest) <= len(base64.b64encode((before + after).encode())) + 4


def test_percent_encoding_is_masked() -> None:
    assert quote("p@ss/w%rd", safe="") not in Mask(["p@ss/w%rd"]).text("https://u:p%40ss%2Fw%25rd@host")


def test_documents_are_masked_in_keys_values_and_depth() -> None:
    document = {"hunter2": ["hunter2", {"k": "a hunter2"}, 7, None, True]}
    assert Mask(["hunter2"]).document(document) == {MASK: [MASK, {"k": f"a {MASK}"}, 7, None, True]}
    assert document["hunter2"][0] == "hunter2"


def test_finds_says_whether_there_is_anything_to_mask() -> None:
    mask = Mask(["hunter2"])
    assert mask.finds("a hunter2 b")
    assert not mask.finds("nothing")
