"""The wait preference of RFC 7240."""

import pytest

from ansible_api.api.waiting import preferred_wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ("Wait = 7", 7),
        ('wait="5"', 5),
        ("wait=10;foo=bar, return=minimal", 10),
        ("return=minimal", None),
        ("await=10", None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("", None),
    ],
)
def test_the_wait_preference_is_found(header: str, seconds: int | None) -> None:
    assert preferred_wait([header]) == seconds


def test_the_first_of_several_headers_counts() -> None:
    assert preferred_wait(["return=minimal", "wait=3", "wait=9"]) == 3
