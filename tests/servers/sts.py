"""AWS's Security Token Service by moto_server, which checks signatures as AWS does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

from tests.servers.processes import ServerProcess, answers, free_port
from tests.servers.requirements import require

REGION = "us-east-1"
UNCHECKED = "2"  # requests that need no signature: those that make the user


@dataclass(frozen=True)
class Sts:
    """A running server and the one access key that it knows."""

    url: str
    access_key_id: str
    secret_access_key: str


@contextmanager
def sts(directory: Path) -> Iterator[Sts]:
    """A server of its own."""
    port = free_port()
    argv = [require("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    env = {"PATH": os.defpath, "HOME": str(directory), "INITIAL_NO_AUTH_ACTION_COUNT": UNCHECKED}
    hello = b"GET /moto-api/ HTTP/1.0\r\n\r\n"
    ready = lambda: answers(("127.0.0.1", port), b"HTTP/1.", say=hello)  # noqa: E731
    with ServerProcess(argv, directory / "log", ready, env=env):
        url = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        client = boto3.client("iam", endpoint_url=url, region_name=REGION, **keys)
        try:
            client.create_user(UserName="tests")
            key = client.create_access_key(UserName="tests")["AccessKey"]
        finally:
            client.close()
        yield Sts(url, key["AccessKeyId"], key["SecretAccessKey"])
