"""Spools that nobody holds: what the log lacks goes to the object store, and no spool stays for ever."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_api.db import Database, now_plus
from ansible_api.errors import Unavailable
from ansible_api.events import keys
from ansible_api.events.spool import SpoolWriter
from ansible_api.events.types import Place
from ansible_api.jobs import closing, store
from ansible_api.jobs.model import JobObject
from ansible_api.jobs.state import LogStatus, Status
from ansible_api.jobs.store import Fence
from ansible_api.objects import put_in_time, with_store
from ansible_api.settings import Settings
from ansible_api.tasks.rescue import rescue
from tests.integration.rows import past, put, row, running
from tests.integration.spools import after_reset, event, lines, spool


def segments(settings: Settings, fence: Fence) -> list[bytes]:
    """The contents of an attempt's segments, in order."""
    folder = settings.objects_dir / keys.segments(fence.job_id, fence.attempt)  # type: ignore[operator]
    return [path.read_bytes() for path in sorted(folder.glob("*"))]


def end(db: Database, fence: Fence, **columns: Any) -> None:
    put(db, fence.job_id, play_started_at=now_plus())
    db.write(store.finish, fence, Status.SUCCESSFUL)
    put(db, fence.job_id, **columns)


def test_what_a_dead_child_had_spooled_goes_to_the_store_and_its_number_to_the_row(
    db: Database, settings: Settings
) -> None:
    fence = running(db)
    path = spool(settings.state_dir, fence, 50)
    with path.open("ab") as file:
        file.write(b'40 {"seq":51,"ti')  # it was killed in the middle of a write
    rescue(db, settings)
    assert b"".join(segments(settings, fence)) == lines(50)
    assert row(db, fence.job_id)["events"] == 50
    assert path.exists()  # until the log is stored


def test_only_what_the_segments_lack_is_stored(db: Database, settings: Settings) -> None:
    fence = running(db)
    spool(settings.state_dir, fence, 50)
    place = Place()
    for seq in range(1, 31):
        place = place.after(event(seq).to_line(), event(seq).text_size())
    first = keys.segment(fence.job_id, fence.attempt, keys.Segment(Place(), place))
    with_store(settings, lambda objects: objects.put(first, lines(30)))
    for _ in range(2):
        rescue(db, settings)
    assert segments(settings, fence) == [lines(30), lines(50, first=31)]


def test_a_spool_that_somebody_holds_is_left_alone(db: Database, settings: Settings) -> None:
    fence = running(db)
    path = spool(settings.state_dir, fence, 5)
    path.unlink()
    writer = SpoolWriter(path)
    writer.append(event(1))
    rescue(db, settings)
    assert segments(settings, fence) == []
    writer.close()
    rescue(db, settings)
    assert segments(settings, fence) == [lines(1)]


@pytest.mark.parametrize("columns", [{"attempt": 2}, {"log_status": LogStatus.STORED}], ids=["run again", "stored"])
def test_the_spool_of_an_attempt_that_needs_it_no_more_is_removed(
    db: Database, settings: Settings, columns: dict[str, Any]
) -> None:
    fence = running(db, **columns)
    paths = [spool(settings.state_dir, fence, 5), spool(settings.state_dir, Fence("job-gone", 1, "nobody"), 5)]
    rescue(db, settings)
    assert not any(path.exists() for path in paths)
    assert segments(settings, fence) == []


def test_the_spool_of_an_attempt_whose_job_waits_for_another_is_removed_when_all_of_it_is_stored(
    db: Database, settings: Settings
) -> None:
    fence = running(db, status=Status.QUEUED)
    path = spool(settings.state_dir, fence, 5)
    rescue(db, settings)
    assert (segments(settings, fence), path.exists()) == ([lines(5)], False)


def test_a_job_that_ended_orderly_is_closed_from_the_stream_first(db: Database, settings: Settings) -> None:
    fence = running(db)
    path = spool(settings.state_dir, fence, 5)
    end(db, fence, events=5)
    rescue(db, settings)
    assert (segments(settings, fence), path.exists()) == ([], True)
    put(db, fence.job_id, finished_at=past(60))  # nobody could
    rescue(db, settings)
    assert segments(settings, fence) == [lines(5)]


@pytest.mark.parametrize("known", [None, 50])
@pytest.mark.parametrize("log_status", [LogStatus.PARTIAL, LogStatus.FAILED])
def test_a_log_that_was_closed_without_its_end_is_closed_again(
    db: Database, settings: Settings, known: int | None, log_status: LogStatus
) -> None:
    fence = running(db)
    path = spool(settings.state_dir, fence, 50)
    end(db, fence, events=known)
    key = keys.events_object(fence.job_id, 1, whole=False)
    stored = with_store(settings, lambda objects: objects.put(key, lines(20)))
    place = {"job_id": fence.job_id, "attempt": 1, "kind": "events", "key": key, "created_at": now_plus()}
    product = JobObject(size=stored.size, sha256=stored.sha256, **place)
    became = {"log_status": log_status, "events": known, "products": [product]}
    assert db.write(closing.close, fence.job_id, 1, **became)
    put(db, fence.job_id, closed_at=now_plus())
    rescue(db, settings)
    now = row(db, fence.job_id)
    assert (now["log_status"], now["closed_at"], now["events"]) == ("pending", None, 50)
    assert db.read(store.objects, fence.job_id) == []
    assert not (settings.objects_dir / key).exists()  # type: ignore[operator]
    assert [job.id for job in db.read(closing.unclosed)] == [fence.job_id]
    assert path.exists()


def test_a_spool_with_less_than_was_reported_opens_a_log_once(db: Database, settings: Settings) -> None:
    fence = running(db)
    path = spool(settings.state_dir, fence, 49)
    end(db, fence, events=50)
    statuses = []
    for had in (20, 49, 49):
        key = keys.events_object(fence.job_id, 1, whole=False)
        place = {"job_id": fence.job_id, "attempt": 1, "kind": "events", "key": key, "created_at": now_plus()}
        product = JobObject(size=len(lines(had)), sha256="0" * 64, **place)
        db.write(closing.close, fence.job_id, 1, log_status=LogStatus.PARTIAL, events=50, products=[product])
        rescue(db, settings)
        statuses.append(row(db, fence.job_id)["log_status"])
    assert statuses == ["pending", "partial", "partial"]
    assert (segments(settings, fence), row(db, fence.job_id)["events"]) == ([lines(49)], 50)
    assert not path.exists()  # it has nothing more to give


@pytest.mark.parametrize("boot", ["", ".f0c4b2de-7d0b-4d2c-9a3e-1f6b8a1c2d3e"], ids=["unknown boot", "other boot"])
@pytest.mark.parametrize("keep", [0, 30])
def test_a_spool_of_a_machine_that_was_reset_gives_its_events_and_no_count(
    db: Database, settings: Settings, keep: int, boot: str
) -> None:
    fence = running(db)
    path = after_reset(spool(settings.state_dir, fence, 50), keep=keep, boot=boot)
    rescue(db, settings)
    assert b"".join(segments(settings, fence)) == lines(keep)
    assert row(db, fence.job_id)["events"] is None
    assert path.exists()


def test_events_up_to_what_the_disk_made_unreadable_are_stored(db: Database, settings: Settings) -> None:
    zeros, [first, second, third] = b"\0" * 4096, lines(3).splitlines()
    garbage = {
        "a line of zeros": zeros + b"\n9 %b\n" % third,
        "zeros to the end": zeros,
        "zeros in an event": b"9 " + third[:20] + zeros + third[20:] + b"\n",
        "the end of an event": third[20:] + b"\n9 %b\n" % third,
    }
    for name, rest in garbage.items():
        fence = running(db)
        path = spool(settings.state_dir, fence, 0)
        path.write_bytes(b"9 %b\n9 %b\n" % (first, second) + rest)
        rescue(db, settings)
        assert segments(settings, fence) == [lines(2)], name
        if rest.endswith(b"\n"):  # it was whole once
            assert row(db, fence.job_id)["events"] is None, name


def test_a_known_count_is_never_lowered(db: Database, settings: Settings) -> None:
    fence = running(db, events=50)
    spool(settings.state_dir, fence, 30)
    rescue(db, settings)
    assert row(db, fence.job_id)["events"] == 50


def test_while_the_object_store_is_away_a_spool_waits(db: Database, settings: Settings) -> None:
    fence = running(db)
    path = spool(settings.state_dir, fence, 5)
    objects = settings.objects_dir
    assert objects is not None
    objects.parent.mkdir(parents=True, exist_ok=True)
    objects.touch()  # no directory
    with pytest.raises(Unavailable):
        rescue(db, settings)
    assert path.exists()
    objects.unlink()
    rescue(db, settings)
    assert segments(settings, fence) == [lines(5)]


def test_spools_that_take_long_are_stored_one_at_a_look(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_api.tasks.rescue.LIMIT", 0)
    fences = [running(db) for _ in range(3)]
    for fence in fences:
        spool(settings.state_dir, fence, 5)
    looks = 0
    while not all(segments(settings, fence) for fence in fences):
        before = sum(bool(segments(settings, fence)) for fence in fences)
        rescue(db, settings)
        assert sum(bool(segments(settings, fence)) for fence in fences) <= before + 1
        looks += 1
        assert looks < 200  # each look takes any of them


def test_a_spool_that_nobody_could_store_for_a_week_is_dropped(db: Database, settings: Settings) -> None:
    path = spool(settings.state_dir, running(db), 5)
    long_ago = time.time() - 8 * 86400
    os.utime(path, (long_ago, long_ago))
    rescue(db, settings)
    assert not path.exists()


def test_what_is_no_spool_is_left_alone(db: Database, settings: Settings) -> None:
    stranger: Path = settings.state_dir / "spool" / "notes.ndjson"
    stranger.parent.mkdir(parents=True)
    stranger.touch()
    rescue(db, settings)
    assert stranger.exists()


def test_a_job_that_never_played_has_no_events(db: Database) -> None:
    back, played = running(db), running(db, play_started_at=now_plus(), events=7)
    for fence in (back, played):
        assert db.write(store.finish, fence, Status.LOST)
    assert (row(db, back.job_id)["events"], row(db, played.job_id)["events"]) == (0, 7)


def test_segments_that_come_while_the_log_is_stored_without_them_are_removed(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = running(db)
    path = spool(settings.state_dir, fence, 5)
    end(db, fence, events=5, finished_at=past(60))

    async def closed_first(*arguments: Any) -> Any:
        put(db, fence.job_id, closed_at=now_plus(), log_status=LogStatus.STORED)
        return await put_in_time(*arguments)

    monkeypatch.setattr("ansible_api.tasks.rescue.put_in_time", closed_first)
    rescue(db, settings)
    assert segments(settings, fence) == []
    assert not path.exists()
