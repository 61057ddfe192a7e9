"""A private Vault (OpenBao in its development mode, which keeps all in memory), driven over its HTTP API."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.processes import ServerProcess, free_port
from tests.servers.requirements import require

ROOT_TOKEN = "tests-root-token"


@dataclass(frozen=True)
class OpenBao:
    """A running server; `secret` is mounted as key-value store of version 2."""

    url: str
    process: ServerProcess

    def call(self, method: str, path: str, body: Any = None, *, namespace: str | None = None) -> Any:
        """What the server answers to the root token."""
        headers = {"X-Vault-Token": ROOT_TOKEN} | ({"X-Vault-Namespace": namespace} if namespace else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def mount(self, path: str, version: int, *, namespace: str | None = None) -> None:
        """A further key-value store."""
        self.call("POST", f"sys/mounts/{path}", _store(version), namespace=namespace)

    def put(self, mount: str, path: str, values: Mapping[str, Any], *, namespace: str | None = None) -> None:
        """Write a secret into a store of version 2."""
        self.call("POST", f"{mount}/data/{path}", {"data": values}, namespace=namespace)

    def token(self, policies: Sequence[str] = (), *, ttl: str = "1h") -> str:
        """A token with these policies."""
        made = self.call("POST", "auth/token/create", {"policies": list(policies), "ttl": ttl})
        return str(made["auth"]["client_token"])

    def revoke(self, token: str) -> None:
        self.call("POST", "auth/token/revoke", {"token": token})

    def policy(self, name: str, *paths: str) -> None:
        """A policy that lets these paths be read."""
        rules = "\n".join(f'path "{path}" {{ capabilities = ["read"] }}' for path in paths)
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": rules})

    def approle(self, mount: str, policies: Sequence[str]) -> tuple[str, str]:
        """Role id and secret id of a new AppRole."""
        self.call("POST", f"sys/auth/{mount}", {"type": "approle"})
        self.call("POST", f"auth/{mount}/role/tests", {"token_policies": list(policies)})
        role = self.call("GET", f"auth/{mount}/role/tests/role-id")["data"]["role_id"]
        secret = self.call("POST", f"auth/{mount}/role/tests/secret-id", {})["data"]["secret_id"]
        return role, secret


def _store(version: int) -> dict[str, Any]:
    return {"type": "kv", "options": {"version": str(version)}}


@contextmanager
def openbao(directory: Path, *, tls: bool = False) -> Iterator[OpenBao]:
    """`bao server -dev` on a free port; with TLS its authority is `directory`/vault-ca.pem."""
    port = free_port()
    argv = [require("bao"), "server", "-dev", f"-dev-root-token-id={ROOT_TOKEN}", "-dev-no-store-token"]
    argv += [f"-dev-listen-address=127.0.0.1:{port}"]
    argv += ["-dev-tls", f"-dev-tls-cert-dir={directory}"] if tls else []
    env = {"PATH": os.defpath, "HOME": str(directory)}
    with ServerProcess(argv, directory / "log", lambda: _ready(directory / "log"), env=env) as process:
        yield OpenBao(f"{'https' if tls else 'http'}://127.0.0.1:{port}", process)


def _ready(log: Path) -> bool:
    """The development server mounts `secret` after it begins to answer, and says so at the end."""
    return b"Development mode should NOT be used" in log.read_bytes()
