"""Ranges of a log."""

import pytest

from ansible_api.api.files import Part, part_of
from ansible_api.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-3", Part(0, 4)),
        ("bytes=4-", Part(4, 10)),
        ("bytes=-4", Part(6, 10)),
        ("bytes=-99", Part(0, 10)),
        ("bytes=8-99", Part(8, 10)),
        ("bytes=9-9", Part(9, 10)),
    ],
)
def test_one_range_of_bytes_is_served(wanted: str, part: Part) -> None:
    assert part_of(wanted, 10) == part


@pytest.mark.parametrize(
    "wanted", [None, "", "bytes", "bytes=-", "bytes=3-1", "bytes=0-1,4-5", "lines=0-1", "bytes=a-b"]
)
def test_any_other_header_is_ignored(wanted: str | None) -> None:
    assert part_of(wanted, 10) is None


@pytest.mark.parametrize(
    ("wanted", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_behind_the_end_is_refused_with_the_size(wanted: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        part_of(wanted, size)
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}
