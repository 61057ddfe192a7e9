import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution import galaxy_cache
from ansible_api.execution.galaxy_cache import Shelf, check_size, watch_size

LARGE = 10**9


def filled(scratch: Path) -> None:
    (scratch / "files").mkdir()
    (scratch / "files" / "it").write_text("x" * 1000)


def never(scratch: Path) -> None:
    raise AssertionError("nothing is to be installed")


def no_wait() -> None:
    raise AssertionError("nothing is to be waited for")


def take(shelf: Shelf, install=filled, cache_size: int = LARGE) -> bool:
    with shelf.lent(install, no_wait, cache_size) as (files, hit):
        assert (files / "it").is_file()
        return hit


def test_the_second_time_it_is_there(tmp_path: Path) -> None:
    assert take(Shelf(tmp_path, "k")) is False
    assert take(Shelf(tmp_path, "k"), never) is True
    assert take(Shelf(tmp_path, "other")) is False


def test_what_is_too_old_is_installed_anew_and_replaced(tmp_path: Path) -> None:
    take(Shelf(tmp_path, "k"))
    assert take(Shelf(tmp_path, "k", max_age=0)) is False
    assert take(Shelf(tmp_path, "k", max_age=3600), never) is True
    assert len(list((tmp_path / "trees").iterdir())) == 1


def test_what_is_lent_survives_its_replacement(tmp_path: Path) -> None:
    with Shelf(tmp_path, "k").lent(filled, no_wait, LARGE) as (files, _):
        take(Shelf(tmp_path, "k", max_age=0))
        assert (files / "it").is_file()
        assert len(list((tmp_path / "trees").iterdir())) == 2


def test_a_failed_installation_leaves_nothing(tmp_path: Path) -> None:
    def broken(scratch: Path) -> None:
        filled(scratch)
        raise JobError("galaxy_denied", "no")

    with pytest.raises(JobError):
        take(Shelf(tmp_path, "k"), broken)
    assert not list((tmp_path / "repos" / "k").iterdir())
    assert take(Shelf(tmp_path, "k")) is False


def test_trouble_with_the_disk_is_worth_another_attempt(tmp_path: Path) -> None:
    def full(scratch: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(TransientJobError, match="No space left on device") as caught:
        take(Shelf(tmp_path, "k"), full)
    assert caught.value.job_code == "dependencies_not_stored"


def test_who_waits_can_give_up(tmp_path: Path) -> None:
    class GivenUp(Exception):
        pass

    def give_up() -> None:
        raise GivenUp

    entered, leave = threading.Event(), threading.Event()

    def slow(scratch: Path) -> None:
        entered.set()
        leave.wait(10)
        filled(scratch)

    thread = threading.Thread(target=take, args=(Shelf(tmp_path, "k"), slow))
    thread.start()
    assert entered.wait(10)
    with pytest.raises(GivenUp), Shelf(tmp_path, "k").lent(never, give_up, LARGE):
        pass
    leave.set()
    thread.join()
    assert take(Shelf(tmp_path, "k"), never) is True


def test_the_cache_stays_below_its_size(tmp_path: Path) -> None:
    for number in range(5):
        take(Shelf(tmp_path, f"k{number}"), cache_size=2500)
    assert take(Shelf(tmp_path, "k4"), never) is True
    assert len(list((tmp_path / "trees").iterdir())) <= 2


def test_what_is_lent_is_not_evicted(tmp_path: Path) -> None:
    with Shelf(tmp_path, "lent").lent(filled, no_wait, 1) as (files, _):
        take(Shelf(tmp_path, "other"), cache_size=1)
        assert (files / "it").is_file()
    assert take(Shelf(tmp_path, "other"), cache_size=1) is False  # it was the one that could go


def test_a_tree_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    take(Shelf(tmp_path, "k"))
    shutil.rmtree(tmp_path / "trees")
    assert take(Shelf(tmp_path, "k")) is False


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"generation": "gone", "installed": 1}'])
def test_a_damaged_note_means_that_nothing_is_there(tmp_path: Path, text: str) -> None:
    take(Shelf(tmp_path, "k"))
    (tmp_path / "repos" / "k" / "current").write_text(text)
    assert take(Shelf(tmp_path, "k")) is False


def test_what_grows_too_large_is_stopped(tmp_path: Path) -> None:
    filled(tmp_path)
    check_size(tmp_path, 1000)
    with pytest.raises(JobError) as caught:
        check_size(tmp_path, 999)
    assert caught.value.job_code == "dependencies_too_large"
    assert watch_size(tmp_path, 999, lambda: False)() is False  # not looked at again so soon
    with pytest.raises(JobError):
        watch_size(tmp_path, 999, lambda: True, pause=-1)()


def test_many_empty_files_are_too_large_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galaxy_cache, "MOST_FILES", 10)
    for number in range(4):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "empty").touch()
    assert check_size(tmp_path, LARGE) == 0
    for number in range(2):
        (tmp_path / f"empty{number}").touch()
    with pytest.raises(JobError, match="more than 10 files"):
        check_size(tmp_path, LARGE)
