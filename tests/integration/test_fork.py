"""Worker children are forked while their parent uses the database."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(60)
def test_a_child_that_was_forked_in_the_middle_of_a_transaction_can_write(empty_url: str) -> None:
    script = Path(__file__).with_name("forking.py")
    done = subprocess.run(
        [sys.executable, str(script), empty_url], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (0, "written"), done.stderr
