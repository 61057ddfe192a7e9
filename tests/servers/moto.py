"""moto_server: the API of EC2 on loopback."""

import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

from tests.servers.processes import ServerProcess, answers, free_port
from tests.servers.requirements import require

REGION = "us-east-1"


@dataclass(frozen=True)
class Moto:
    """Its address; every key is good for it."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run_instances(self, *instances: dict[str, str], region: str = REGION) -> None:
        """An instance for each of these sets of tags."""
        client = boto3.client(
            "ec2",
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        for tags in instances:
            pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
            client.run_instances(
                ImageId="ami-12345678",
                MinCount=1,
                MaxCount=1,
                TagSpecifications=[{"ResourceType": "instance", "Tags": pairs}],
            )
        client.close()

    def reset(self) -> None:
        """Forget all instances."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def moto(directory: Path) -> Iterator[Moto]:
    """A server of its own."""
    port = free_port()
    argv: Sequence[str] = [require("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    greeting = b"GET /moto-api/ HTTP/1.0\r\n\r\n"
    with ServerProcess(
        argv, directory / "moto.log", ready=lambda: answers(("127.0.0.1", port), b"HTTP/1.", say=greeting)
    ):
        yield Moto(port)
