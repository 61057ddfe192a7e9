"""Reading server-sent events."""

from ansible_api.cli.sse import Frame, frames


def test_a_frame_has_its_event_data_and_id() -> None:
    lines = ["id: 3", "event: event", 'data: {"seq":3}', ""]
    assert list(frames(lines)) == [Frame("event", '{"seq":3}', "3")]


def test_comments_and_unknown_fields_are_passed_over() -> None:
    lines = [": heartbeat", "", "retry: 10", "data: x", "", ": heartbeat", ""]
    assert list(frames(lines)) == [Frame("message", "x", None)]


def test_several_data_lines_are_joined_and_one_space_is_taken_off() -> None:
    assert list(frames(["data:one", "data:  two", ""])) == [Frame("message", "one\n two", None)]


def test_the_last_id_holds_for_frames_without_one() -> None:
    lines = ["id: 1", "data: a", "", "data: b", ""]
    assert [frame.id for frame in frames(lines)] == ["1", "1"]


def test_a_frame_that_was_cut_off_is_dropped() -> None:
    assert list(frames(["data: whole", "", "id: 2", "data: ha"])) == [Frame("message", "whole", None)]
