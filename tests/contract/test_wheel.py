"""The wheel holds all that an installation needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIGRATIONS = [path.name for path in (ROOT / "migrations" / "versions").glob("*.py")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


def test_celeryconfig_migrations_and_the_mark_of_types_are_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"celeryconfig.py", "ansible_api/py.typed", "ansible_api/migrations/env.py"} <= set(names)
    assert {f"ansible_api/migrations/versions/{name}" for name in MIGRATIONS} <= set(names)


def test_every_module_is_in_it_and_no_test(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert modules <= names
    assert {name.split("/")[0] for name in names} == {"ansible_api", "celeryconfig.py"}


def test_the_wheel_alone_migrates_a_database(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    url = f"sqlite:///{tmp_path / 'database.sqlite'}"
    program = f"""
import sys; sys.path.insert(0, {str(tmp_path / "site")!r})
import ansible_api.schema, celeryconfig
assert all(m.__file__.startswith({str(tmp_path)!r}) for m in (ansible_api.schema, celeryconfig))
print(ansible_api.schema.upgrade({url!r}))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == max(name[:4] for name in MIGRATIONS), done.stderr
