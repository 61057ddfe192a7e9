"""What a request may say: request body, JSON column and worker input are this one model."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ansible_api.credentials.refs import AnyRef, CloudRef, Credentials
from ansible_api.jobs.inventories import DynamicInventory, Inventory, UrlInventory
from ansible_api.jobs.options import Options
from ansible_api.jobs.sources import GitLocation, PlaybookSource, Source
from ansible_api.jobs.text import Model, Variables
from ansible_api.routing import Workload

MOST_INVENTORIES = 20


class JobSpec(Model):
    """What to run, where, with which credentials and how."""

    source: Source
    inventory: Inventory | Annotated[list[Inventory], Field(min_length=1, max_length=MOST_INVENTORIES)] = Field(
        description="one, or several that are merged in order"
    )
    credentials: Credentials = Field(default_factory=Credentials)
    extra_vars: Variables = Field(default_factory=dict)
    options: Options = Field(default_factory=Options)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.options.gather_facts is not None and isinstance(self.source, PlaybookSource):
            raise ValueError("options.gather_facts is for roles: a playbook says gather_facts itself")
        return self

    @property
    def inventories(self) -> dict[str, Inventory]:
        """JSON Pointer → inventory, in the order of merging."""
        if isinstance(self.inventory, list):
            return {f"/inventory/{number}": inventory for number, inventory in enumerate(self.inventory)}
        return {"/inventory": self.inventory}

    def workload(self, default_timeout: int, slowest_fetch: float = 0.0) -> Workload:
        """What routing needs to know; seconds."""
        return Workload(
            timeout=self.options.timeout or default_timeout,
            requested_queue=self.options.queue,
            priority=self.options.priority,
            inventory_types=frozenset(inventory.type for inventory in self.inventories.values()),
            repositories=len({location.repo for _, location in self.git_locations()}),
            slowest_fetch=slowest_fetch,
            installs=not isinstance(self.source, PlaybookSource) or bool(self.source.collections),
        )

    def git_locations(self) -> Iterator[tuple[str, GitLocation]]:
        """Every git location with the JSON Pointer of its place in the request."""
        for pointer, part in {"/source": self.source, **self.inventories}.items():
            if isinstance(part, GitLocation):
                yield pointer, part

    def credential_refs(self) -> Iterator[tuple[str, AnyRef]]:
        """Every credential that the request names, with the JSON Pointer of its place."""
        for pointer, location in self.git_locations():
            yield from _at(f"{pointer}/git_credential", location.git_credential)
        yield from _at("/source/galaxy_credential", self.source.galaxy_credential)
        for pointer, inventory in self.inventories.items():
            if isinstance(inventory, DynamicInventory):
                yield from _at(f"{pointer}/cloud_credential", inventory.cloud_credential)
            elif isinstance(inventory, UrlInventory):
                yield from _at(f"{pointer}/credential", inventory.credential)
        for name in type(self.credentials).model_fields:
            yield from _at(f"/credentials/{name}", getattr(self.credentials, name))

    def urls(self) -> Iterator[tuple[str, str]]:
        """Every web address that the service itself is to reach, with its JSON Pointer."""
        if self.options.callback_url is not None:
            yield "/options/callback_url", self.options.callback_url
        if self.source.galaxy_server is not None:
            yield "/source/galaxy_server", self.source.galaxy_server
        for pointer, inventory in self.inventories.items():
            if isinstance(inventory, UrlInventory):
                yield f"{pointer}/url", inventory.url

    def variable_sizes(self) -> dict[str, int]:
        """JSON Pointer → bytes as JSON in UTF-8 of extra_vars and, for a role, role_vars."""
        given = {"/extra_vars": self.extra_vars, "/source/role_vars": getattr(self.source, "role_vars", {})}
        return {
            pointer: len(json.dumps(variables, ensure_ascii=False, separators=(",", ":")).encode())
            for pointer, variables in given.items()
        }

    def as_json(self) -> dict[str, Any]:
        """The spec as a JSON document, without secret values and without fields that say nothing."""
        return self.model_dump(mode="json", exclude_defaults=False, exclude_none=True)


def _at(pointer: str, ref: Any) -> Iterator[tuple[str, AnyRef]]:
    if isinstance(ref, list):
        for number, one in enumerate(ref):
            yield from _at(f"{pointer}/{number}", one)
    elif isinstance(ref, CloudRef):
        yield f"{pointer}/credential", ref.credential
    elif ref is not None:
        yield pointer, ref
