"""Which segments of an attempt tell its events, also when a write that seemed to fail was done after all."""

from ansible_api.events.keys import Segment, chain, segment
from ansible_api.events.types import Place


def part(before: int, last: int) -> Segment:
    return Segment(Place(before, 10 * before, 30 * before), Place(last, 10 * last, 30 * last))


def chosen(*parts: Segment) -> list[tuple[int, int]]:
    names = [segment("job-1", 1, each) for each in parts]
    return [(each.start.seq, each.end.seq) for each in chain(reversed(names))]


def test_a_name_tells_what_the_segment_holds() -> None:
    each = Segment(Place(5, 100, 900), Place(20, 400, 5000))
    assert Segment.from_key(segment("job-1", 1, each)) == each
    assert Segment.from_key("jobs/job-1/1/segments/notes.txt") is None


def test_names_sort_by_their_first_event() -> None:
    parts = [part(0, 9), part(9, 10), part(10, 2_000_000)]
    assert sorted(each.name for each in parts) == [each.name for each in parts]


def test_segments_that_follow_each_other_are_all_read() -> None:
    assert chosen(part(0, 10), part(10, 20), part(20, 21)) == [(0, 10), (10, 20), (20, 21)]


def test_nothing_behind_a_gap_is_read() -> None:
    assert chosen(part(0, 10), part(11, 20)) == [(0, 10)]
    assert chosen(part(1, 10)) == []
    assert chosen() == []


def test_of_segments_that_repeat_each_other_the_longest_is_read() -> None:
    assert chosen(part(0, 10), part(0, 13), part(13, 20)) == [(0, 13), (13, 20)]
    assert chosen(part(0, 13), part(10, 20), part(2, 5)) == [(0, 13), (10, 20)]
    assert chosen(part(0, 10), part(10, 20), part(0, 30)) == [(0, 30)]
