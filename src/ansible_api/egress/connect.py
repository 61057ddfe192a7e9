"""Connections to checked addresses only, within one time limit for all that happens on them."""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, TypeAlias

import httpcore

from ansible_api.egress.errors import EgressFailed
from ansible_api.egress.policy import Address, Policy, check_address, check_host

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]


class Deadline:
    """The time limit of a whole request: name, connection, handshake and every byte count against it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left; EgressFailed when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.missed()
        return left

    def missed(self) -> EgressFailed:
        """The error of a request that took too long."""
        return EgressFailed(f"no complete answer within {self._seconds:g} s")


def system_resolver(host: str, port: int) -> Sequence[str]:
    """All addresses that this machine's resolver knows for a name."""
    # As bytes: a str would go through Python's old IDNA codec, which raises errors of its own.
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def checked_addresses(
    host: str, port: int, policy: Policy, deadline: Deadline, resolver: Resolver = system_resolver
) -> list[Address]:
    """Every address of a host; EgressDenied when one of them may not be reached, EgressFailed when there is none."""
    check_host(host, policy)
    addresses = [ip_address(text) for text in dict.fromkeys(_resolved(host, port, deadline, resolver))]
    for address in addresses:
        check_address(address, policy)
    if not addresses:
        raise EgressFailed(f"{host} has no address")
    return addresses


def checked_connection(
    host: str, port: int, policy: Policy, deadline: Deadline, resolver: Resolver = system_resolver
) -> socket.socket:
    """A connection to the first checked address that takes one; the others keep a fair share of the time."""
    addresses = checked_addresses(host, port, policy, deadline, resolver)
    trouble: OSError | None = None
    for waiting, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            connection = socket.create_connection((str(address), port), deadline.left() / waiting)
        except OSError as error:
            trouble = error
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    raise EgressFailed(f"cannot connect to {host} port {port}: {_words(trouble)}") from trouble


def _resolved(host: str, port: int, deadline: Deadline, resolver: Resolver) -> Sequence[str]:
    """The resolver's answer; it knows no time limit, so it runs in a thread that may be left behind."""
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(resolver(host, port))
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            answers.put(error)

    threading.Thread(target=resolve, daemon=True, name="resolve").start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise deadline.missed() from None
    if isinstance(answer, (OSError, UnicodeError)):
        raise EgressFailed(f"{host} cannot be resolved") from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


class CheckedBackend(httpcore.NetworkBackend):
    """What httpcore connects through: it names a host, we choose the address; Host and SNI stay as they were."""

    def __init__(self, policy: Policy, deadline: Deadline, resolver: Resolver) -> None:
        self._policy = policy
        self._deadline = deadline
        self._resolver = resolver

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """See checked_connection."""
        connection = checked_connection(host, port, self._policy, self._deadline, self._resolver)
        return DeadlineStream(connection, self._deadline)


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose every step gets only the time that is left, so that a dripping server gains nothing."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._socket = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See httpcore; its time-outs are for single steps and not used."""
        try:
            self._socket.settimeout(self._deadline.left())
            return self._socket.recv(max_bytes)
        except TimeoutError:
            raise self._deadline.missed() from None
        except OSError as error:
            raise httpcore.ReadError(_words(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See httpcore."""
        rest = memoryview(buffer)
        try:
            while rest:
                self._socket.settimeout(self._deadline.left())
                rest = rest[self._socket.send(rest) :]
        except TimeoutError:
            raise self._deadline.missed() from None
        except OSError as error:
            # httpcore still reads the answer then: a server may refuse a request before it has read all of it.
            raise httpcore.WriteError(_words(error)) from error

    def close(self) -> None:
        """See httpcore."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """See httpcore; the name in the certificate is the URL's, not the address's."""
        try:
            self._socket.settimeout(self._deadline.left())
            wrapped = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError:
            self.close()
            raise self._deadline.missed() from None
        except (OSError, ValueError) as error:
            self.close()
            raise EgressFailed(f"no TLS with {server_hostname}: {_words(error)}") from error
        return DeadlineStream(wrapped, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """See httpcore."""
        return self._socket if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket) else None


def _words(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (isinstance(error, OSError) and error.strerror) or str(error or "") or type(error).__name__
