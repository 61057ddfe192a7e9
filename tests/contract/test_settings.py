"""The manual names each setting, and no other."""

import re
from pathlib import Path

from ansible_api.settings import CLIENT_NAMES, known_names

MANUAL = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
ROW = re.compile(r"^\| `(ANSIBLE_API_[A-Z0-9_]+)`( \(or `_FILE`\))? \|.*\| *(.*?) *\|$", re.MULTILINE)
OF_PLAYS = {"ANSIBLE_API_ARTIFACTS", "ANSIBLE_API_JOB"}  # what plays and their processes find in their environment


def test_every_setting_has_its_row() -> None:
    rows = {
        name + suffix for name, with_file, _ in ROW.findall(MANUAL) for suffix in ("", "_FILE" if with_file else "")
    }
    assert rows == known_names() - CLIENT_NAMES


def test_every_row_says_what_the_setting_is_for() -> None:
    assert [name for name, _, words in ROW.findall(MANUAL) if not words] == []


def test_the_manual_names_no_setting_that_is_not_read() -> None:
    named = set(re.findall(r"\bANSIBLE_API_[A-Z0-9_]*[A-Z0-9]\b", MANUAL))
    assert named - OF_PLAYS <= known_names()
