"""Git over ssh by the system's ssh, which dies with the git subprocess."""

import os
import subprocess
from collections.abc import Sequence
from urllib.parse import unquote

from dulwich.client import SSHGitClient, SSHVendor, SubprocessWrapper

from ansible_api.execution.git_connect import reachable
from ansible_api.execution.git_request import Refused, Request
from ansible_api.execution.git_server import ServerRemote, meter, no_such_commit, refuses_commit, unreachable
from ansible_api.git_address import PORTS, GitAddress, parse
from ansible_api.processes import die_with_parent

# What ssh and the common git hosts say; the text itself is judged and never passed on.
UNKNOWN_HOST = ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "host key is known")
DENIED = ("Permission denied", "Too many authentication failures", "Load key", "access denied")
ABSENT = ("does not appear to be a git repository", "not found", "No such file", "could not be found", "ERROR: ")
AWAY = ("Could not resolve", "Connection refused", "Connection reset", "Connection closed", "timed out", "Network is")


def ssh_remote(request: Request) -> ServerRemote:
    """The repository at an ssh:// or user@host:path address."""
    address = parse(request.repo)
    path = unquote(address.path) if "://" in request.repo else address.path
    ssh, count = SystemSsh(address, request), meter(request.size)
    client = SSHGitClient(
        address.host,
        address.port,
        address.user or request.username or "git",
        vendor=ssh,
        report_activity=lambda amount, _what: count(amount),
    )

    def explain(_error: Exception) -> Refused:
        return _explain(ssh.messages(), address.host)

    return ServerRemote(client, path.encode(), explain)


def _explain(messages: str, host: str) -> Refused:
    def said(texts: Sequence[str]) -> bool:
        return any(text in messages for text in texts)

    if refuses_commit(messages):
        return no_such_commit()
    if said(UNKNOWN_HOST):
        detail = f"The host key of {host} is unknown or has changed: put the right one in the credential's known_hosts."
        return Refused("source_host_key", detail)
    if said(DENIED):
        return Refused("source_refused", f"{host} refused the SSH key: check git_credential and its rights.")
    if said(ABSENT) and not said(AWAY):
        detail = f"{host} has no such repository, or not for this key: check repo and git_credential."
        return Refused("source_refused", detail)
    return unreachable(host)


def pinned(address: GitAddress, ip: str) -> list[str]:
    """Options that lead ssh to this IP address, while host keys go by the name and port that were asked for."""
    host, port = address.host, address.port
    name = host if port == PORTS["ssh"] else f"[{host}]:{port}"  # as ssh writes it into known_hosts
    settings = (f"HostName={ip}", f"HostKeyAlias={name}", "CanonicalizeHostname=no", "ProxyCommand=none")
    return [part for setting in settings for part in ("-o", setting)]


class SshProcess(SubprocessWrapper):
    """A running ssh; closing it ends it at once, as nothing that it could still say is wanted."""

    def close(self, timeout: int | None = 60) -> None:
        self.proc.kill()
        super().close(timeout)


class SystemSsh(SSHVendor):
    """The system's ssh, led to a checked address; what it writes to stderr is kept to be judged."""

    def __init__(self, address: GitAddress, request: Request) -> None:
        self._address, self._request = address, request
        self._messages = os.memfd_create("ssh-messages")  # a file, as a full pipe would hold ssh up

    def run_command(
        self,
        host: str,
        command: bytes,
        username: str | None = None,
        port: int | None = None,
        password: str | None = None,
        key_filename: str | None = None,
        ssh_command: str | None = None,
        protocol_version: int | None = None,
    ) -> SubprocessWrapper:
        ip = reachable(self._request.addresses, self._address.port, self._request.connect_timeout)
        options = [*self._request.ssh_options, *pinned(self._address, ip), "-o", "SetEnv=GIT_PROTOCOL=version=2"]
        where = ["-p", str(self._address.port), "-l", username or "git", "--", host]
        process = subprocess.Popen(
            ["ssh", *options, *where, command],  # noqa: S607
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            preexec_fn=die_with_parent,  # safe: this process has no other thread
        )
        return SshProcess(process)

    def messages(self) -> str:
        return os.pread(self._messages, 65536, 0).decode(errors="replace")
