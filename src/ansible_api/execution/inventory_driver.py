"""`ansible-inventory --list --export` with three changes; copied into the sandbox and run there on its own.

Nothing but the listing reaches stdout, whatever plugins print; hosts come in their order; and a configuration that a
job brought may only have options that its plugin documents, where Ansible passes over the others in silence.

Arguments: bytes of memory that may be taken, a JSON list of the files that are such configurations, then those of
ansible-inventory.
"""

import json
import os
import resource
import sys
from typing import Any

from ansible import constants  # type: ignore[import-untyped]
from ansible.cli.inventory import CLI, InventoryCLI, _inventory_legacy  # type: ignore[import-untyped]
from ansible.errors import AnsibleParserError  # type: ignore[import-untyped]
from ansible.plugins.inventory import BaseInventoryPlugin  # type: ignore[import-untyped]

UNKNOWN = "unknown option"


class Listing(InventoryCLI):  # type: ignore[misc]
    """Prints the whole inventory, to what was stdout."""

    output: int

    def run(self) -> None:
        """As the base class, but to the output alone."""
        CLI.run(self)
        self.loader, self.inventory, self.vm = self._play_prereqs()
        listing = self.json_inventory(self._get_group("all"))
        listing["_meta"]["order"] = [host.name for host in self.inventory.get_hosts("all")]
        with os.fdopen(self.output, "w", encoding="utf-8", errors="backslashreplace") as output:
            output.write(json.dumps(listing, cls=_inventory_legacy.Encoder))


def check_options(paths: list[str]) -> None:
    """Refuse options that a plugin does not document, in these files."""
    read = BaseInventoryPlugin._read_config_data

    def read_and_check(plugin: Any, path: str) -> Any:
        config = read(plugin, path)
        if str(path) in paths:
            known = {"plugin"}
            for name, about in constants.config.get_configuration_definitions("inventory", plugin._load_name).items():
                known |= {name, *(about.get("aliases") or ())}
            if strangers := sorted(set(map(str, config)) - known):
                raise AnsibleParserError(f"{UNKNOWN} {', '.join(strangers)}")
        return config

    BaseInventoryPlugin._read_config_data = read_and_check


if __name__ == "__main__":
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))  # h[0:999999999] is a short name for many hosts
    Listing.output = os.dup(1)
    os.dup2(2, 1)
    check_options(json.loads(sys.argv[2]))
    Listing.cli_executor(["ansible-inventory", *sys.argv[3:]])
