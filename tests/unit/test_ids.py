"""Ids begin with their time."""

from datetime import UTC, datetime, timedelta

from ansible_api.db import first_id, new_id


def test_an_id_lies_between_the_first_ones_of_its_moment_and_of_a_later_one() -> None:
    before = datetime.now(UTC)
    made = new_id("job")
    assert first_id("job", before) <= made < first_id("job", before + timedelta(minutes=1))
    assert len(first_id("job", before)) == len(made)


def test_first_ids_sort_as_their_moments_do() -> None:
    moments = [datetime(year, 1, 1, tzinfo=UTC) for year in (1, 1970, 2026, 9999)]
    ids = [first_id("job", moment) for moment in moments]
    assert ids == sorted(ids)
