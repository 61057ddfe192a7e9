"""Snapshots of inventories that callers let be used again: sealed with the job's own secrets, few, and never old."""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ansible_api.execution.dependencies import Dependencies
from ansible_api.execution.inventory_snapshot import Snapshot, Tree
from ansible_api.execution.preparation import Preparation
from ansible_api.jobs.inventories import InlineInventory
from ansible_api.settings import MIB

OLDEST = 86_400.0  # the longest cache_ttl
MOST = 200
SIZE = 256 * MIB
HALF_MADE = 3600.0
NONCE = 12


@dataclass(frozen=True, slots=True)
class SnapshotCache:
    """One snapshot's place, and the key that only jobs with the same secrets can make."""

    directory: Path
    name: str
    key: bytes
    ttl: float

    @classmethod
    def of(
        cls, preparation: Preparation, needed: Dependencies, project: str | None, commits: Mapping[str, str]
    ) -> Self | None:
        """None when one of the inventories is to be asked anew each time."""
        ttls = [one.cache_ttl for one in preparation.spec.inventories.values() if not isinstance(one, InlineInventory)]
        if not ttls or None in ttls:
            return None
        identity = json.dumps(_identity(preparation, needed, project, commits), sort_keys=True).encode()
        name, key = (hashlib.sha256(purpose + identity).digest() for purpose in (b"name\0", b"key\0"))
        # Beside the cache of repositories: whoever may read one may read the other.
        return cls(preparation.config.cache_dir.parent / "inventories", name.hex(), key, min(map(float, ttls)))  # type: ignore[arg-type]

    def get(self) -> Snapshot | None:
        """The snapshot, while it is young enough."""
        try:
            with (self.directory / self.name).open("rb") as file:
                age = time.time() - os.fstat(file.fileno()).st_mtime
                sealed = file.read() if 0 <= age <= self.ttl else b""
            opened = AESGCM(self.key).decrypt(sealed[:NONCE], sealed[NONCE:], None)
        except (OSError, ValueError, InvalidTag):
            return None
        tree, _, text = opened.partition(b"\n")
        return Snapshot(text.decode(), Tree.from_json(json.loads(tree)))

    def put(self, snapshot: Snapshot) -> None:
        """Keep it; a worker without room for it goes on without."""
        text = json.dumps(snapshot.tree.as_json()).encode() + b"\n" + snapshot.text.encode()
        nonce = secrets.token_bytes(NONCE)
        with suppress(OSError):
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = self.directory / f"tmp-{secrets.token_hex(8)}"
            handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(nonce + AESGCM(self.key).encrypt(nonce, text, None))
                made.rename(self.directory / self.name)
            finally:
                made.unlink(missing_ok=True)
            sweep(self.directory)


class _Kept(NamedTuple):
    made: float
    size: int
    path: Path


def sweep(directory: Path) -> None:
    """Remove what is too old, then the oldest above the limits, and what a killed worker left half made."""
    now, count, size = time.time(), 0, 0
    for kept in sorted(_kept(directory), reverse=True):
        count, size = count + 1, size + kept.size
        oldest = HALF_MADE if kept.path.name.startswith("tmp-") else OLDEST
        if now - kept.made > oldest or count > MOST or size > SIZE:
            kept.path.unlink(missing_ok=True)


def _kept(directory: Path) -> Iterator[_Kept]:
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            about = path.stat()
            yield _Kept(about.st_mtime, about.st_size, path)


def _identity(
    preparation: Preparation, needed: Dependencies, project: str | None, commits: Mapping[str, str]
) -> dict[str, Any]:
    """All that decides what the inventories give.

    The project belongs to it: its ansible.cfg and plugins take part, and nobody may fill the cache of others.
    """
    spec, opened = preparation.spec, preparation.secrets
    return {
        "inventories": [one.model_dump(mode="json", exclude={"cache_ttl"}) for one in spec.inventories.values()],
        "source": spec.source.model_dump(mode="json"),
        "project": project,
        "commits": dict(commits),
        "collections": str(needed.collections),
        "environment": spec.options.env,
        "credentials": [[place, repr(it)] for place, it in sorted(opened.at.items())],  # all but secret values
        "secrets": sorted(opened.values()),
        "ansible": version("ansible-core"),
    }
