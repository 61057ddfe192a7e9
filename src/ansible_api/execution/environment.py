"""What every command of Ansible's in a job's sandbox gets: its program, its environment and its files of secrets."""

import os
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from pydantic import SecretStr

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
            path = _file(preparation, name, text)
            if not path.exists():
                preparation.room.add_secret(path.name, text.get_secret_value())
            environment[name] = str(path)
    return environment


def remove_files(preparation: Preparation, given: Iterable[Variables]) -> None:
    """Take away what `variables` wrote, as the play sees every file of its workspace."""
    for one in given:
        for name, text in one.files.items():
            _file(preparation, name, text).unlink(missing_ok=True)


def _file(preparation: Preparation, name: str, text: SecretStr) -> Path:
    # Two credentials of one job may have different texts for one name.
    digest = sha256(text.get_secret_value().encode()).hexdigest()[:8]
    return preparation.room.secrets / f"variable_{name}_{digest}"


def vault_arguments(preparation: Preparation) -> Iterator[str]:
    """The options that name files with vault passwords; written by the first who asks."""
    for number, vault in enumerate(preparation.secrets.vault_passwords):
        path = preparation.room.secrets / f"vault_password_{number}"
        if not path.exists():
            preparation.room.add_secret(path.name, vault.password.get_secret_value())
        yield from ("--vault-id", f"{vault.vault_id}@{path}")
