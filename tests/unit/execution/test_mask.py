import base64
import html
import json
import re
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
import yaml

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


CORE = "0123456789abcdef"
WILD = f'it\'s "{CORE}" \\ % & + / <ü☃> $x\n\'second\' {CORE}\t"line"'
FORMS: dict[str, Callable[[str], str]] = {
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "html": html.escape,
    "html without quotes": lambda text: html.escape(text, quote=False),
    "yaml's quotes": lambda text: text.replace("'", "''"),
    "yaml": lambda text: yaml.safe_dump({"k": text}, allow_unicode=True, width=1000),
    "shell": shlex.quote,
    "shell in a shell": lambda text: shlex.quote(f"sh -c {shlex.quote(text)}"),
    "json": json.dumps,
    "json with its letters": lambda text: json.dumps(text, ensure_ascii=False),
    "json twice": lambda text: json.dumps(json.dumps(text)),
    "percent": quote,
    "percent, all": lambda text: quote(text, safe=""),
    "a form": quote_plus,
    "percent, small letters": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text)),
    "a terminal": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [WILD, f"{CORE}'%\"\\&+/<>", f"p ss'w\"rd/{CORE}+="])
def test_nothing_is_left_of_a_secret_as_programs_write_it_and_as_ansible_shows_that(secret: str, form: str) -> None:
    mask, written = Mask([secret]), FORMS[form](secret)
    for shown in (written, json.dumps(written), json.dumps(written, ensure_ascii=False)):
        assert CORE in shown
        assert CORE not in mask.text(shown), shown


@pytest.mark.parametrize("width", [64, 76])
def test_base64_in_lines_is_masked_but_for_a_short_last_line(width: int) -> None:
    coded = base64.b64encode(KEY.encode()).decode()
    lines = [coded[start : start + width] for start in range(0, len(coded), width)]
    assert len(lines) > 1
    masked = Mask([KEY]).text("\n".join(lines)).split("\n")
    assert [line for line in masked if line != MASK and len(line) >= 8] == []
    assert [Mask([KEY]).text(line) for line in lines[:-1]] == [MASK] * (len(lines) - 1)


@pytest.mark.parametrize("indent", [None, 2])
def test_the_private_key_in_a_key_file_is_a_secret_by_itself_and_the_names_in_it_are_none(indent: int | None) -> None:
    names = {"type": "service_account", "project_id": "my-project", "client_email": "robot@example.org"}
    file = json.dumps({**names, "private_key": KEY, "nested": [{"token": "nested-token"}]}, indent=indent)
    mask = Mask([file])
    assert "AAAAfirstline" not in mask.text(f"<{KEY}>")
    assert mask.text("AAAAfirstline, nested-token") == f"{MASK}, {MASK}"
    assert "AAAAfirstline" not in mask.text(json.dumps({"private_key": KEY}))
    assert mask.text("my-project of robot@example.org") == "my-project of robot@example.org"
    assert mask.text(file) == MASK


@pytest.mark.parametrize("secret", ["{not json", "[" * 5000, "{}", "[1, null]"])
def test_a_secret_that_only_begins_like_json_is_masked_all_the_same(secret: str) -> None:
    masked = Mask([secret]).text(f"a {secret} b")
    assert masked == (f"a {MASK} b" if len(secret) > 2 else "a {} b")


def test_a_plain_secret_costs_few_comparisons() -> None:
    assert len(Mask(["correct-horse-battery"])._needles) <= 8
