"""The cache of repositories: locks that end with their holder, eviction that spares what is in use."""

import fcntl
import os
from pathlib import Path

import pytest

from ansible_api.execution.git_cache import Count, Entry, Note, discard, evict, locked


def never() -> None:
    raise AssertionError("had to wait")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def store(root: Path, key: str, size: int, used: float) -> Entry:
    """An entry with one tree that claims that size, last used then."""
    entry = Entry(root, key)
    with entry.writing(never) as scratch:
        (scratch / "files").mkdir()
        (scratch / "files" / "site.yml").write_text(key)
        entry.keep_tree(scratch, "c", Note(Count(1, size)))
    os.utime(entry.tree("c") / "count", (used, used))
    return entry


def kept(root: Path) -> list[str]:
    return sorted(path.name.removesuffix("-c") for path in (root / "trees").iterdir())


def test_the_least_recently_used_goes_until_the_rest_fits(root: Path):
    for number, key in enumerate(["oldest", "older", "newer"]):
        store(root, key, 100, number)
    evict(root, 250)
    assert kept(root) == ["newer", "older"]


def test_reading_counts_as_use(root: Path):
    first, _ = store(root, "first", 100, 1), store(root, "second", 100, 2)
    with first.reading("c") as tree:
        assert tree
    evict(root, 100)
    assert kept(root) == ["first"]


def test_what_is_being_read_is_not_evicted(root: Path):
    entry = store(root, "held", 100, 1)
    with entry.reading("c") as tree:
        evict(root, 0)
        assert tree
        assert (tree / "files" / "site.yml").read_text() == "held"
    evict(root, 0)
    assert kept(root) == []


def test_a_mirror_that_is_being_written_is_not_evicted(root: Path):
    entry = Entry(root, "busy")
    with entry.writing(never) as scratch:
        (scratch / "mirror").mkdir()
        entry.keep_mirror(scratch / "mirror")
        (entry.home / "size").write_text("100")
        evict(root, 0)
        assert entry.mirror.is_dir()
    evict(root, 0)
    assert not entry.home.exists()


def test_a_second_writer_waits_for_the_first(root: Path):
    entry = Entry(root, "key")
    with entry.writing(never), pytest.raises(AssertionError, match="had to wait"), entry.writing(never):
        pytest.fail("two writers at once")


def test_two_jobs_read_the_same_tree_at_once(root: Path):
    entry = store(root, "key", 1, 1)
    with entry.reading("c") as first, entry.reading("c") as second:
        assert first == second is not None


def test_a_lock_on_what_was_removed_meanwhile_is_not_held(root: Path, tmp_path: Path):
    (tmp_path / "thing").mkdir()
    with locked(tmp_path / "thing", fcntl.LOCK_EX):

        def removed() -> None:
            discard(root, tmp_path / "thing")
            os.close(blocker)

        blocker = os.open(tmp_path / "thing", os.O_RDONLY)
    fcntl.flock(blocker, fcntl.LOCK_EX)
    with locked(tmp_path / "thing", fcntl.LOCK_EX, removed) as held:
        assert not held


def test_what_a_killed_writer_left_is_swept_by_the_next(root: Path):
    entry = Entry(root, "key")
    packs = entry.mirror / "objects" / "pack"
    packs.mkdir(parents=True)
    (entry.home / "tmp-dead").mkdir()
    for name in ("pack-1.pack", "pack-1.idx", "pack-2.pack", "pack-3.idx.lock", "tmp_pack_x", "incoming-x"):
        (packs / name).touch()
    with entry.writing(never):
        assert sorted(path.name for path in packs.iterdir()) == ["pack-1.idx", "pack-1.pack"]
        assert not (entry.home / "tmp-dead").exists()


def test_a_tree_that_is_not_there_is_none(root: Path):
    with Entry(root, "key").reading("c") as tree:
        assert tree is None


def test_a_damaged_note_of_a_tree_does_not_stop_eviction(root: Path):
    entry = store(root, "key", 100, 1)
    (entry.tree("c") / "count").write_text("")
    store(root, "other", 100, 2)
    evict(root, 50)
    assert "other" not in kept(root)


def test_what_a_killed_process_had_begun_to_remove_is_removed(root: Path):
    store(root, "key", 1, 1)
    (root / "trash" / "x" / "it").mkdir(parents=True)
    evict(root, 100)
    assert not (root / "trash" / "x").exists()


def test_what_a_killed_first_fetch_left_goes_but_not_a_fetch_that_goes_on(root: Path):
    store(root, "whole", 100, 1)
    (root / "repos" / "whole" / "size").write_text("0")
    (root / "repos" / "killed" / "tmp-x").mkdir(parents=True)
    with Entry(root, "under way").writing(never) as scratch:
        evict(root, 1000)
        assert scratch.is_dir()
    assert sorted(path.name for path in (root / "repos").iterdir()) == ["under way", "whole"]
