import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_api.execution.workspace import MARKER, sweep, workspace


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with workspace(tmp_path / "work", "job-1.1") as room:
        assert {mode(path) for path in (room.root, room.secrets, room.home, room.events)} == {0o700}
        assert mode(room.add_secret("key", "text")) == 0o600
    assert not room.root.exists()
    assert not room.secrets.exists()


def test_an_exception_leaves_nothing_either(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), workspace(tmp_path, "job-1.1") as room:
        room.add_secret(room.add_secret("key", "text").name, "again")
    assert not room.root.exists()
    assert not room.secrets.exists()


def test_a_secret_never_overwrites_nor_follows(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with workspace(tmp_path / "work", "job-1.1") as room:
        (room.secrets / "key").symlink_to(target)
        with pytest.raises(FileExistsError):
            room.add_secret("key", "text")
    assert not target.exists()


def test_removal_does_not_follow_links(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    with workspace(tmp_path / "work", "job-1.1") as room:
        (room.home / "link").symlink_to(kept)
    assert (kept / "file").exists()


def test_sweep_leaves_the_living_and_removes_the_dead(tmp_path: Path) -> None:
    with workspace(tmp_path, "job-alive.1") as room:
        (tmp_path / "job-dead.1").mkdir()
        (tmp_path / "job-dead.1" / "file").touch()
        assert sweep(tmp_path) == ["job-dead.1"]
        assert room.root.is_dir()
        assert room.secrets.is_dir()
    assert not (tmp_path / "job-dead.1").exists()


def test_sweep_removes_the_secrets_of_a_killed_worker(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from ansible_api.execution.workspace import workspace\n"
        "with workspace(Path(sys.argv[1]), 'job-1.1') as room:\n"
        "    room.add_secret('key', 'text'); print(room.secrets, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    secrets = Path(done.stdout.strip())
    assert (secrets / "key").exists()
    assert sweep(tmp_path) == ["job-1.1"]
    assert not secrets.exists()


def test_sweep_kills_strays_of_the_dead(tmp_path: Path) -> None:
    marker = f"job-{os.getpid()}-stray.1"
    (tmp_path / marker).mkdir()
    stray = subprocess.Popen(["sleep", "300"], env={"PATH": os.environ["PATH"], MARKER: marker})
    assert sweep(tmp_path) == [marker]
    assert stray.wait(timeout=10) == -9


def test_sweep_of_nothing_does_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "absent") == []


def test_closed_directories_are_removed_too(tmp_path: Path) -> None:
    with workspace(tmp_path, "job-1.1") as room:
        inner = room.home / "outer" / "inner"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        inner.chmod(0)
        inner.parent.chmod(0)
    assert not room.root.exists()
