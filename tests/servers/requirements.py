"""Programs that tests need: a missing one skips the test, or fails it when REQUIRE_ALL=1."""

import os
import shutil

import pytest


def require(program: str) -> str:
    """The program's path."""
    if path := shutil.which(program):
        return path
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{program} is not installed, and REQUIRE_ALL=1")
    pytest.skip(f"{program} is not installed")
