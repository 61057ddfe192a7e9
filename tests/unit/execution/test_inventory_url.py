"""Addresses of inventories that no server is asked for."""

import pytest

from ansible_api.egress import Policy
from ansible_api.errors import JobError
from ansible_api.execution.inventory_url import fetch_inventory
from ansible_api.jobs.inventories import UrlInventory
from ansible_api.settings import MIB


@pytest.mark.parametrize("host", ["127.0.0.1", "0177.0.0.01", "localhost", "[::ffff:7f00:1]"])
def test_an_address_that_is_none_or_may_not_be_reached_is_denied_as_such(host: str) -> None:
    inventory = UrlInventory(type="url", url=f"http://{host}/hosts")
    with pytest.raises(JobError, match="correct url") as caught:
        fetch_inventory(inventory, None, Policy(), timeout=5, limit=MIB, keep_going=lambda: True)
    assert (caught.value.job_code, caught.value.retryable) == ("inventory_denied", False)
