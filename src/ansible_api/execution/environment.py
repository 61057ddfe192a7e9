"""What every command of Ansible's in a job's sandbox gets: its program, its environment and its files of secrets."""

import os
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from ansible_api.credentials.secrets import Variables
from ansible_api.errors import JobError
from ansible_api.execution.preparation import Preparation
from ansible_api.execution.workspace import MARKER

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> str:
    """The path of one of Ansible's commands."""
    path = Path(sys.executable).parent / name
    if not os.access(path, os.X_OK):
        raise JobError("ansible_missing", f"{name} is not installed beside this worker's Python")
    return str(path)


def base_environment(preparation: Preparation) -> dict[str, str]:
    """What every command in the sandbox gets."""
    room, places = preparation.room, preparation.sandbox.places(preparation.room)
    return {
        MARKER: room.marker,
        "ANSIBLE_API_ARTIFACTS": str(room.artifacts),
        "HOME": str(places.home),
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "TMPDIR": str(places.tmp),
    }


def variables(preparation: Preparation, given: Iterable[Variables]) -> dict[str, str]:
    """An environment of credentials' variables; texts that belong into files are written to some."""
    environment: dict[str, str] = {}
    for one in given:
        environment |= one.plain
        environment |= {name: value.get_secret_value() for name, value in one.values.items()}
        for name, text in one.files.items():
            secret = text.get_secret_value()
            # Two credentials of one job may have different texts for one name.
            path = preparation.room.secrets / f"variable_{name}_{sha256(secret.encode()).hexdigest()[:8]}"
            if not path.exists():
                preparation.room.add_secret(path.name, secret)
            environment[name] = str(path)
    return environment


def vault_arguments(preparation: Preparation) -> Iterator[str]:
    """The options that name files with vault passwords; written by the first who asks."""
    for number, vault in enumerate(preparation.secrets.vault_passwords):
        path = preparation.room.secrets / f"vault_password_{number}"
        if not path.exists():
            preparation.room.add_secret(path.name, vault.password.get_secret_value())
        yield from ("--vault-id", f"{vault.vault_id}@{path}")
