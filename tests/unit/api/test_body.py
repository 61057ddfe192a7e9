"""What counts as a JSON document."""

import pytest

from ansible_api.api.body import DEEPEST, parse
from ansible_api.errors import InvalidRequest, MalformedBody


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"a":}', b"\xff", b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"NaN", b"[Infinity]",
        b"\xef\xbb\xbf{}", b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_json_in_utf8_is_refused_with_its_place(body: bytes) -> None:
    with pytest.raises(MalformedBody) as caught:
        parse(body)
    assert "line 1 column" in caught.value.detail


@pytest.mark.parametrize("body", [b"1" * 5000, b"[1e999]", b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1)])
def test_what_the_database_cannot_hold_is_refused(body: bytes) -> None:
    with pytest.raises((InvalidRequest, MalformedBody)):
        parse(body)


def test_a_document_as_deep_as_allowed_is_parsed() -> None:
    assert parse(b"[" * DEEPEST + b"]" * DEEPEST)
