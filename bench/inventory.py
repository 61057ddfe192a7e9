"""What a job waits for its inventory, as a ratio to plain `ansible-inventory --list`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from tests.integration.execution.gathering import Gatherer
from tests.integration.execution.plays import repository
from tests.servers.moto import moto
from tests.servers.webhook_sink import Answer, webhook_sink

from ansible_api.credentials.secrets import Variables
from ansible_api.settings import Isolation
from bench.figures import Figure, median

REPETITIONS = 7
COLD, COLD_GIT, WARM = 1.2, 2.5, 0.3
INSTANCES, HOSTS = 20, 1000
CONFIG = {
    "regions": ["us-east-1"],
    "hostnames": ["tag:Name"],
    "keyed_groups": [{"key": "tags.Role", "prefix": "role"}],
}


@dataclass(frozen=True)
class _Form:
    """One form of inventory, and the file that the plain command reads instead."""

    name: str
    spec: dict[str, Any]
    file: Path
    environment: Mapping[str, str]
    cold: float = COLD


def measure(folder: Path) -> list[Figure]:
    with moto(folder) as cloud, webhook_sink() as cmdb:
        cloud.run_instances(*[{"Name": f"web{number}", "Role": "web"} for number in range(INSTANCES)])
        aws = {"AWS_ENDPOINT_URL": cloud.url, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        config = folder / "aws_ec2.yml"
        config.write_text(json.dumps({"plugin": "amazon.aws.aws_ec2", **CONFIG}))
        hosts = folder / "hosts.yml"
        hosts.write_text(json.dumps({"all": {"hosts": {f"h{number}": {"x": number} for number in range(HOSTS)}}}))
        cmdb.default = Answer(200, body=hosts.read_bytes())
        repo = repository(folder / "repo", {"hosts.yml": hosts.read_text()})
        dynamic = {"type": "dynamic", "plugin": "amazon.aws.aws_ec2", "config": CONFIG, "cloud_credential": "aws"}
        forms = (
            _Form(f"dynamic, aws_ec2, {INSTANCES} hosts", dynamic, config, aws),
            _Form(f"url, {HOSTS} hosts", {"type": "url", "url": cmdb.url}, hosts, {}),
            _Form(f"git, {HOSTS} hosts", {"type": "git", "repo": str(repo), "path": "hosts.yml"}, hosts, {}, COLD_GIT),
        )
        return [figure for number, form in enumerate(forms) for figure in _one(folder / str(number), form, aws)]


def _one(folder: Path, form: _Form, aws: Mapping[str, str]) -> Iterator[Figure]:
    folder.mkdir()
    credential = Variables({name: SecretStr(value) for name, value in aws.items()})
    worker = Gatherer(folder, isolation=Isolation.AUTO, secrets={"/inventory/cloud_credential": credential})
    kept = form.spec | {"cache_ttl": 86_400}
    _plainly(form)  # bytecode
    worker.facts(kept)
    plain, cold, warm = [], [], []
    for _ in range(REPETITIONS):  # in turn: whatever else the machine does meets them all
        plain.append(_timed(lambda: _plainly(form)))
        cold.append(_timed(lambda: worker.facts(form.spec)))
        warm.append(_timed(lambda: worker.facts(kept)))
    for kind, times, goal in (("cold", cold, form.cold), ("warm, cache_ttl", warm, WARM)):
        ratio = median(times) / median(plain)
        figure = f"{ratio:.2f} ({median(times):.3f} s to {median(plain):.2f} s)"
        how = f"median of {REPETITIONS}; both in turn"
        yield Figure(f"inventory {form.name}, {kind}: to the plain command", figure, f"≤ {goal}", ratio <= goal, how)


def _plainly(form: _Form) -> None:
    argv = [str(Path(sys.executable).with_name("ansible-inventory")), "--list", "-i", str(form.file)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(form.file.parent), "LANG": "C.UTF-8", **form.environment}
    subprocess.run(argv, env=environment, check=True, capture_output=True, cwd=form.file.parent)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
