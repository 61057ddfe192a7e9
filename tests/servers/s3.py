"""A private S3 server (SeaweedFS), and a fresh bucket in it for each test that asks."""

import itertools
import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config

from tests.servers.processes import ServerProcess, free_port
from tests.servers.requirements import require

ACCESS_KEY = "AKIATESTSTESTSTESTS"
SECRET_KEY = "tests-secret-key"
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Bucket:
    """An empty bucket and how to reach it."""

    endpoint_url: str
    name: str
    region: str = REGION
    access_key_id: str = ACCESS_KEY
    secret_access_key: str = SECRET_KEY

    @property
    def settings(self) -> dict[str, str]:
        """What an installation must be told, by the names of its environment variables without the prefix."""
        return {
            "S3_BUCKET": self.name,
            "S3_ENDPOINT_URL": self.endpoint_url,
            "S3_REGION": self.region,
            "S3_ACCESS_KEY_ID": self.access_key_id,
            "S3_SECRET_ACCESS_KEY": self.secret_access_key,
        }


@dataclass(frozen=True)
class S3Server:
    """A running server that checks signatures and expiry."""

    endpoint_url: str
    process: ServerProcess
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_bucket(self) -> S3Bucket:
        """A new empty bucket."""
        name = f"test-{next(self._numbers)}"
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        try:
            client.create_bucket(Bucket=name)
        finally:
            client.close()
        return S3Bucket(self.endpoint_url, name)


@contextmanager
def s3(directory: Path) -> Iterator[S3Server]:
    """`weed mini` on free ports of 127.0.0.1 with its data in the directory."""
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    # SeaweedFS opens a gRPC port beside each port, 10000 above it.
    port, *others = (free_port(offsets=(0, 10000)) for _ in range(5))
    argv = [require("weed"), f"-logdir={directory}", "mini", *_options(directory, config, port, others)]
    env = {"PATH": os.defpath, "HOME": str(directory), "WEED_S3_SSE_KEY": "k", "WEED_S3_SSE_KEK_PASSPHRASE": "p"}
    with ServerProcess(argv, directory / "log", lambda: _answers(port), env=env, cwd=directory) as process:
        yield S3Server(f"http://127.0.0.1:{port}", process)


def _options(directory: Path, config: Path, port: int, others: list[int]) -> list[str]:
    parts = ("master", "volume", "filer", "admin")
    return [
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={port}",
        *(f"-{part}.port={number}" for part, number in zip(parts, others, strict=True)),
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
        "-master.telemetry=false",
        f"-s3.config={config}",
    ]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
