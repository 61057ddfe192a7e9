"""Runs Ansible's commands over a job's inventories, in its sandbox: what is in them, and what a limit leaves."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_api.credentials.secrets import Variables
from ansible_api.egress import guarded_proxy
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution import ansible_cfg
from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.environment import base_environment, program, variables, vault_arguments
from ansible_api.execution.inventory_errors import clean, listing_failed
from ansible_api.execution.inventory_files import Source
from ansible_api.execution.inventory_limit import limit_arguments, listed_hosts
from ansible_api.execution.inventory_snapshot import Snapshot, snapshot_of
from ansible_api.execution.patience import patiently
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.sandbox import Command
from ansible_api.execution.tool import Finished, ToolTimedOut, run_tool
from ansible_api.execution.workspace import write_private
from ansible_api.settings import MIB

PLUGINS = "yaml"  # the only one that touches what the play reads: Ansible's own runs nothing and asks no server
DRIVER = Path(__file__).with_name("inventory_driver.py")
# It only warns of what it cannot read, unless told otherwise; and no metadata service is a job's to ask.
STRICT = {
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_FORCE_COLOR": "false",
    "ANSIBLE_VERBOSITY": "0",
    "AWS_EC2_METADATA_DISABLED": "true",
}
MEMORY = 2048 * MIB
PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
UNPROXIED = ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY")
_NOTHING = ("leaves us with no hosts", "no hosts to target", "No hosts matched")


@dataclass(frozen=True, slots=True)
class Lister:
    """Asks Ansible about inventories of one job, until `deadline` (of time.monotonic)."""

    preparation: Preparation
    needed: Dependencies
    config: Path
    deadline: float

    def listing(self, sources: Sequence[Source]) -> Snapshot:
        """Everything in the sources, merged in order.

        Where credentials contradict each other, each plugin that has its own is asked with it, before the others.
        """
        if self._contradict(sources):
            sources = [self._apart(source) if source.variables else source for source in sources]
        return self._list(sources)

    def matches(self, snapshot: Path) -> list[str]:
        """The hosts that options.limit leaves, in their order; JobError limit_invalid."""
        options, room = self.preparation.spec.options, self.preparation.room
        argv = (
            *(program("ansible"), "all", "--list-hosts", "--inventory", str(snapshot)),
            *limit_arguments(options, room),
            *vault_arguments(self.preparation),
        )
        done = self._run(argv, self._environment(()) | {"ANSIBLE_INVENTORY_ENABLED": PLUGINS})
        if done.code == 0:
            return listed_hosts(done.stdout.decode(errors="replace"))
        if any(sign in done.stderr for sign in _NOTHING):
            return []
        raise JobError("limit_invalid", f"correct options.limit: {clean(done.stderr.removeprefix('[ERROR]: '))}")

    def _list(self, sources: Sequence[Source]) -> Snapshot:
        own = [one for source in sources for one in source.variables]
        policy, refused = self.preparation.config.egress, dict[int, str]()
        with guarded_proxy(policy, timeout=max(self._left(), 1), refused=refused.__setitem__) as proxy:
            environment = self._environment(own) | dict.fromkeys(PROXY_VARIABLES, proxy)
            environment["ANSIBLE_INVENTORY_ENABLED"] = _plugins(sources)
            done = self._run(self._arguments(sources), environment)
        if done.code != 0 or not done.stdout:
            raise listing_failed(done.stderr, sources, refused)
        return patiently(lambda: snapshot_of(done.stdout), self.preparation.keep_going)

    def _arguments(self, sources: Sequence[Source]) -> tuple[str, ...]:
        program("ansible-inventory")
        driver = self.preparation.room.inventory / "listing.py"
        if not driver.exists():
            write_private(driver, DRIVER.read_text(encoding="utf-8"))
        configurations = [str(source.path) for source in sources if source.is_config]
        named = [part for source in sources for part in ("--inventory", str(source.path))]
        vault = vault_arguments(self.preparation)
        driven = (sys.executable, "-I", str(driver), str(MEMORY), json.dumps(configurations))
        return (*driven, "--list", "--export", *named, *vault)

    def _environment(self, own: Sequence[Variables]) -> dict[str, str]:
        preparation, collections = self.preparation, self.needed.collections
        environment = dict(preparation.spec.options.env)
        environment |= variables(preparation, [*preparation.secrets.environment, *own])
        environment = {name: value for name, value in environment.items() if name not in UNPROXIED}
        environment |= base_environment(preparation) | {"ANSIBLE_CONFIG": str(self.config)} | STRICT
        if collections is not None:
            given = ansible_cfg.collections_path(self.config) or ansible_cfg.COLLECTIONS_PATH
            environment["ANSIBLE_COLLECTIONS_PATH"] = f"{collections}:{given}"
        return environment

    def _run(self, argv: Sequence[str], environment: Mapping[str, str]) -> Finished:
        preparation, limits = self.preparation, self.preparation.config.inventory
        readable = (self.needed.collections,) if self.needed.collections is not None else ()
        try:
            return run_tool(
                Command(tuple(argv), environment, readable=readable),
                preparation.room,
                preparation.sandbox,
                timeout=self._left(),
                keep_going=preparation.keep_going,
                mask=preparation.mask,
                limit=limits.size,
            )
        except ToolTimedOut:
            raise TransientJobError(
                "inventory_unreachable", f"no complete inventory within {limits.timeout:g} seconds"
            ) from None
        except JobError as error:
            if error.job_code != "output_too_large":
                raise
            raise JobError(
                "inventory_too_large", f"the inventory is larger than {limits.size} bytes: narrow what it gives"
            ) from None

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _contradict(self, sources: Sequence[Source]) -> bool:
        common = _merged(self.preparation.secrets.environment)
        seen: dict[str, str] = {}
        for source in sources:
            if source.is_config:
                for name, value in (common | _merged(source.variables)).items():
                    if seen.setdefault(name, value) != value:
                        return True
        return False

    def _apart(self, source: Source) -> Source:
        """The same as the snapshot of a run of its own."""
        text = self._list([source]).text
        return Source(source.pointer, write_private(source.path.parent / ".snapshot.yml", text), (PLUGINS,))


def _merged(given: Sequence[Variables]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for one in given:
        merged |= one.plain
        merged |= {name: text.get_secret_value() for name, text in (*one.values.items(), *one.files.items())}
    return merged


def _plugins(sources: Sequence[Source]) -> str:
    """Readers of all forms last: they try whatever no other plugin wanted."""
    named = dict.fromkeys(plugin for source in sources for plugin in source.plugins)
    return ",".join(sorted(named, key=lambda plugin: plugin in ("yaml", "ini", "toml")))
