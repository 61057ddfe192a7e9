"""Names from a request stay inside the checkout, whatever symlinks the repository holds."""

from pathlib import Path

import pytest

from ansible_api.errors import JobError
from ansible_api.execution.source import resolve_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "playbooks").mkdir(parents=True)
    (root / "playbooks" / "site.yml").write_text("")
    (tmp_path / "secret").write_text("")
    return root


def test_a_file_is_found_also_through_a_symlink_inside(root: Path):
    (root / "link").symlink_to("playbooks")
    assert resolve_inside(root, "link/site.yml") == root.resolve() / "playbooks" / "site.yml"


def test_a_file_that_is_missing_is_for_the_caller_to_miss(root: Path):
    assert resolve_inside(root, "absent.yml") == root.resolve() / "absent.yml"


def test_a_root_behind_a_symlink_is_still_the_root(root: Path, tmp_path: Path):
    (tmp_path / "alias").symlink_to(root)
    assert resolve_inside(tmp_path / "alias", "playbooks") == root.resolve() / "playbooks"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "playbooks/../../secret", "out/secret", "file", "\0"])
def test_a_name_that_leads_out_is_refused(root: Path, tmp_path: Path, name: str):
    (root / "out").symlink_to(tmp_path)
    (root / "file").symlink_to("../secret")
    with pytest.raises(JobError, match="name a file inside it") as caught:
        resolve_inside(root, name)
    assert caught.value.job_code == "path_outside_repository"


def test_a_sibling_whose_name_begins_alike_is_outside(root: Path, tmp_path: Path):
    (tmp_path / "project-other").mkdir()
    with pytest.raises(JobError):
        resolve_inside(root, "../project-other")


def test_a_loop_of_symlinks_is_refused(root: Path):
    (root / "loop").symlink_to("loop")
    with pytest.raises(JobError):
        resolve_inside(root, "loop/site.yml")
