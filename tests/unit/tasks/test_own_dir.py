"""The directory of a worker process, and what its heartbeat tells a probe."""

import os
import socket
import time
from pathlib import Path

import pytest

from ansible_api.errors import StartupError
from ansible_api.tasks import own_dir
from ansible_api.tasks.own_dir import HEARTBEAT, METRICS, SILENCE, ailing, living


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of this process, as if it were a worker."""
    monkeypatch.setattr(own_dir._Process, "path", None)
    return own_dir.own_dir(tmp_path)


def beat(own: Path, ago: float) -> None:
    (own / HEARTBEAT).touch()
    moment = time.time() - ago
    os.utime(own / HEARTBEAT, (moment, moment))


def test_a_worker_whose_heart_beats_is_well(own: Path, tmp_path: Path) -> None:
    assert living(tmp_path) == [own]
    beat(own, SILENCE / 2)
    assert ailing(tmp_path) is None


def test_a_worker_that_has_just_started_is_well(own: Path, tmp_path: Path) -> None:
    assert ailing(tmp_path) is None


def test_a_silent_worker_is_told_of_by_its_process(own: Path, tmp_path: Path) -> None:
    beat(own, SILENCE * 2)
    assert f"the worker of process {os.getpid()}@{socket.gethostname()} has not consumed for" in str(ailing(tmp_path))


def test_no_worker_is_a_reason_too(tmp_path: Path) -> None:
    assert ailing(tmp_path) == f"no worker runs in {tmp_path}"


def test_what_a_dead_worker_left_goes_when_another_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "workers" / "1"
    left.mkdir(parents=True)
    (left / HEARTBEAT).touch()
    in_memory = tmp_path / "in memory"
    in_memory.mkdir()
    (left / METRICS).symlink_to(in_memory)
    assert living(tmp_path) == []
    monkeypatch.setattr(own_dir._Process, "path", None)
    own_dir.own_dir(tmp_path)
    assert not left.exists()
    assert not in_memory.exists()


def test_nobody_else_can_look_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_dir._Process, "path", None)
    path = own_dir.own_dir(tmp_path / "new" / "state")
    assert {each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)} == {0o700}


def test_containers_that_count_alike_share_a_state_directory(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_dir._Process, "path", None)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    another = own_dir.own_dir(tmp_path)
    assert another != own
    assert set(living(tmp_path)) == {own, another}


def test_it_is_asked_for_once(own: Path, tmp_path: Path) -> None:
    assert own_dir.own_dir(tmp_path) == own


def test_a_state_directory_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_dir._Process, "path", None)
    (tmp_path / "workers").write_text("in the way")
    with pytest.raises(StartupError, match="ANSIBLE_API_STATE_DIR: cannot use"):
        own_dir.own_dir(tmp_path)
