"""A short round of the fault rig; `make faults` runs the long one, and the scenarios that take too long for here."""

from collections.abc import Iterator

import pytest

from tests.faults.installation import Installation, installation
from tests.faults.scenarios import IN_TESTS, run


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("faults")) as running:
        yield running


# Clients of MariaDB leave their socket to the garbage collector when the server is killed while they connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", IN_TESTS)
def test_what_is_promised_is_kept_through(rig: Installation, name: str) -> None:
    result = run(rig, name, short=True, seed=4)
    assert result.passed, "\n".join(result.troubles)
