"""Bytecode of what every play imports: a play sees the interpreter read-only, so it could never keep its own.

Installers such as uv write none unless told to, and compiling Ansible anew costs each play a second.
"""

import compileall
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("ansible", "ansible_runner", "cryptography", "jinja2", "markupsafe", "packaging", "resolvelib", "yaml")
NOT_IMPORTED = re.compile(r"/ansible/modules/")  # modules run on the managed hosts, as text


def compile_packages(names: Sequence[str] = PACKAGES) -> bool:
    """Write what is missing, which takes a second at the first time; False: some of it cannot be written here."""
    origins = [spec.origin for name in names if (spec := find_spec(name)) and spec.origin]
    done = [compileall.compile_dir(Path(origin).parent, quiet=2, rx=NOT_IMPORTED) for origin in origins]
    return all(done)
