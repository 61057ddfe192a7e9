import importlib
from pathlib import Path

import pytest

from ansible_api.execution import bytecode


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package without bytecode."""
    folder = tmp_path / "bytecode_of_tests"
    (folder / "inner").mkdir(parents=True)
    for path in (folder / "__init__.py", folder / "inner" / "code.py"):
        path.write_text("NUMBER = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return folder


def test_what_has_no_bytecode_is_compiled_down_to_the_last_directory(package: Path) -> None:
    assert bytecode.compile_packages([package.name])
    assert [path.name.partition(".")[0] for path in sorted(package.rglob("*.pyc"))] == ["__init__", "code"]


def test_what_has_bytecode_is_left_alone(package: Path) -> None:
    bytecode.compile_packages([package.name])
    written = {path: path.stat().st_mtime_ns for path in package.rglob("*.pyc")}
    assert bytecode.compile_packages([package.name])
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*.pyc")} == written


def test_an_installation_that_cannot_be_written_is_told(package: Path) -> None:
    (package / "__pycache__").write_text("not a directory")
    assert not bytecode.compile_packages([package.name])


def test_a_package_that_is_not_installed_does_not_matter() -> None:
    assert bytecode.compile_packages(["no_such_package_at_all"])
