"""What the tests need of the machine: skipped with the reason when missing, failed under REQUIRE_ALL=1."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

ENVIRONMENT_BIN = str(Path(sys.executable).parent)
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), ENVIRONMENT_BIN, "/usr/sbin", "/sbin"])


def require(program: str, *, first: str = "") -> str:
    """The path of a program, looked for in a directory of its own first."""
    return shutil.which(program, path=os.pathsep.join([first, SEARCH_PATH])) or missing(f"{program} is not installed")


def require_namespaces() -> None:
    """Root that may make mount, network and PID namespaces."""
    if os.geteuid() != 0:
        missing("hosts in network namespaces need root")
    probe = [require("unshare"), "--mount", "--net", "--pid", "--uts", "--fork", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        missing("namespaces are not allowed here")


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything must be there."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}, and REQUIRE_ALL=1", pytrace=False)
    pytest.skip(reason)
