import itertools
import os
from pathlib import Path

import pytest
from tests.integration.execution.gathering import Gatherer
from tests.integration.execution.plays import Trial
from tests.servers.requirements import require

from ansible_api.execution.preparation import ExecutionConfig
from ansible_api.settings import Isolation

_numbers = itertools.count(1)


@pytest.fixture(params=[Isolation.BUBBLEWRAP, Isolation.NONE])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    if request.param is Isolation.BUBBLEWRAP:
        require("bwrap")
    return request.param


@pytest.fixture
def trial(isolation: Isolation, tmp_path: Path) -> Trial:
    require("git")
    return Trial(ExecutionConfig(tmp_path / "work", tmp_path / "cache", isolation=isolation, cancel_grace=2.0))


@pytest.fixture
def sleep() -> str:
    """A sleep command that no other process on this machine runs."""
    return f"sleep 3{os.getpid()}.{next(_numbers)}"


@pytest.fixture
def gatherer(tmp_path: Path) -> Gatherer:
    require("git")
    return Gatherer(tmp_path)
