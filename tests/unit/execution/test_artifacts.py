"""What a play left is a stranger's: nothing but regular files is read, within limits, and secrets are masked."""

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_api.execution import artifacts as module
from ansible_api.execution.artifacts import Artifact, ArtifactLimits, Found, LeftOut, artifacts
from ansible_api.execution.mask import Mask

NO_SECRETS = Mask([])


def found(directory: Path, mask: Mask = NO_SECRETS, **limits: int) -> list[Found]:
    return list(artifacts(directory, {}, mask, ArtifactLimits(**limits)).files())


def test_files_are_found_in_directories_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "reports" / "deep").mkdir(parents=True)
    (tmp_path / "reports" / "deep" / "café.xml").write_bytes(b"<ok/>")
    (tmp_path / "version").write_bytes(b"1.2.3\n")
    assert found(tmp_path) == [Artifact("reports/deep/café.xml", b"<ok/>"), Artifact("version", b"1.2.3\n")]


@pytest.mark.parametrize("kind", ["link", "link to a directory", "fifo", "device"])
def test_what_is_no_regular_file_is_left_out_unopened(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    path = inside / "it"
    match kind:
        case "link":
            path.symlink_to(outside / "secret")
        case "link to a directory":
            path.symlink_to(outside)
        case "fifo":
            os.mkfifo(path)
        case _:
            path.symlink_to("/dev/zero")
    assert found(inside) == [LeftOut("it", "it is not a regular file")]


def test_a_file_that_is_too_large_is_left_out_and_the_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 11)
    (tmp_path / "b").write_bytes(b"x" * 10)
    assert found(tmp_path, size=10) == [LeftOut("a", "it has more than 10 bytes"), Artifact("b", b"x" * 10)]


def test_all_together_have_a_limit_too(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"xxxx")
    assert [type(one) for one in found(tmp_path, total=8)] == [Artifact, Artifact, LeftOut]
    assert [type(one) for one in found(tmp_path, files=1)] == [Artifact, LeftOut, LeftOut]


def test_a_flood_of_files_is_told_in_part(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").touch()
    told = found(tmp_path, files=10)
    assert len(told) == 10 + 100 + 1
    assert told[-1] == LeftOut("…", "190 more, which are not named")


def test_a_file_behind_many_that_are_left_out_is_kept(tmp_path: Path) -> None:
    for number in range(101):
        (tmp_path / f"{number:03}").symlink_to("elsewhere")
    (tmp_path / "report.xml").write_bytes(b"<ok/>")
    assert found(tmp_path)[-2:] == [Artifact("report.xml", b"<ok/>"), LeftOut("…", "1 more, which are not named")]


def test_a_flood_without_end_is_not_looked_at_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 5)
    for number in range(5):
        (tmp_path / f"{number:03}").touch()
    assert [type(one) for one in found(tmp_path)] == [Artifact] * 5
    (tmp_path / "more").touch()
    assert found(tmp_path)[5:] == [LeftOut("…", "no more than 5 files are looked at")]


def test_what_is_beyond_the_limits_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"xxxx")
    read: list[str] = []
    really = module._file

    def noting(parent: int, entry: str, *rest: Any) -> Found:
        read.append(entry)
        return really(parent, entry, *rest)

    monkeypatch.setattr(module, "_file", noting)
    for limits in ({"files": 1}, {"total": 7}, {"size": 3}):
        found(tmp_path, **limits)
    assert read == ["a", "a"]


def test_a_file_that_cannot_be_read_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Found:
        raise OSError(5, "Input/output error")

    (tmp_path / "a").symlink_to("elsewhere")
    (tmp_path / "b").touch()
    monkeypatch.setattr(module, "_file", broken)
    assert [one.reason for one in found(tmp_path) if isinstance(one, LeftOut)] == [
        "it is not a regular file",
        "it cannot be read: Input/output error",
    ]


def test_directories_without_end_are_not_followed(tmp_path: Path) -> None:
    deep = tmp_path / "/".join("d" * 20)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    assert [one.reason for one in found(tmp_path) if isinstance(one, LeftOut)] == [
        "it lies more than 8 directories deep"
    ]


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\x1b[31m", b"\xff".decode(errors="surrogateescape"), "n" * 201])
def test_a_hostile_name_is_left_out_and_shown_harmlessly(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (left,) = found(tmp_path)
    assert isinstance(left, LeftOut)
    assert left.name.isprintable()
    left.name.encode()


def test_secrets_are_masked_in_names_and_contents_and_other_bytes_stay(tmp_path: Path) -> None:
    (tmp_path / "of-hunter22.bin").write_bytes(b"\xff\x00 hunter22 \xfe")
    assert found(tmp_path, Mask(["hunter22"])) == [Artifact("of-********.bin", b"\xff\x00 ******** \xfe")]


def test_data_that_is_too_long_is_only_told_to_be_so(tmp_path: Path) -> None:
    assert artifacts(tmp_path, {"version": "1.2.3"}, NO_SECRETS, ArtifactLimits()).data == {"version": "1.2.3"}
    assert artifacts(tmp_path, {"much": "x" * 70_000}, NO_SECRETS, ArtifactLimits()).data == {"truncated": True}
