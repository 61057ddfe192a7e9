"""Which addresses may be reached: pure functions of URL, address and policy."""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias

import httpx

from ansible_api.egress.errors import EgressDenied
from ansible_api.settings import Settings

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Python's is_global alone lets some of these through, and what it says differs between its versions.
# Sources: the IANA special-purpose registries; the metadata addresses are the cloud providers'.
NEVER = {
    "unspecified": _networks("0.0.0.0/8", "::/128"),
    "link-local or cloud metadata": _networks("169.254.0.0/16", "fe80::/10"),
    "cloud metadata": _networks(
        "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128", "fd00:42::42/128"
    ),
    "multicast": _networks("224.0.0.0/4", "ff00::/8"),
    "reserved": _networks("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4"),
}
LOOPBACK = _networks("127.0.0.0/8", "::1/128")
PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")
PUBLIC_IPV6 = ip_network("2000::/3")  # all that IANA gives out; the rest is reserved

# IPv6 networks that stand for IPv4 addresses, and the bit at which such an address begins.
TEREDO = ip_network("2001::/32")  # RFC 4380: the server's address; the client's follows at the end, inverted
TRANSLATED = {
    ip_network("::ffff:0:0/96"): 96,  # IPv4-mapped, RFC 4291
    ip_network("::ffff:0:0:0/96"): 96,  # IPv4-translated, RFC 2765
    ip_network("::/96"): 96,  # IPv4-compatible, RFC 4291
    ip_network("64:ff9b::/96"): 96,  # NAT64, RFC 6052
    ip_network("2002::/16"): 16,  # 6to4, RFC 3056
    TEREDO: 32,
}
ISATAP = {0x00005EFE, 0x02005EFE}  # RFC 5214: the third quarter of the address; an IPv4 address is the last

HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
LOCAL_NAMES = re.compile(r"(.*\.)?(localhost|localdomain|localhost6)|ip6-(localhost|loopback)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be reached beyond public addresses."""

    allow_private: bool = False
    allow_loopback: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The policy that the settings ask for."""
        return cls(allow_private=settings.private_egress, allow_loopback=settings.loopback_egress)


def check_url(url: str, policy: Policy) -> httpx.URL:
    """The parsed URL, when nothing in it tells without DNS that it may not be reached; else EgressDenied."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise EgressDenied(f"not a URL: {error}") from None
    if parsed.scheme not in {"http", "https"}:
        raise EgressDenied("only http and https URLs are allowed")
    if parsed.userinfo:
        raise EgressDenied("a URL must not carry a user name or password")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise EgressDenied("the port must be from 1 to 65535")
    check_host(parsed.raw_host.decode("ascii"), policy)
    return parsed


def receiver_of(url: str) -> str:
    """Who answers a URL: scheme, host and port."""
    parsed = httpx.URL(url)
    port = parsed.port or {"http": 80, "https": 443}.get(parsed.scheme, 0)
    return f"{parsed.scheme}://{parsed.raw_host.decode('ascii')}:{port}"


def check_host(host: str, policy: Policy) -> None:
    """EgressDenied for a literal address that may not be reached, and for all but plain host names."""
    try:
        address = ip_address(host)
    except ValueError:
        _check_name(host, policy)
    else:
        check_address(address, policy)


def check_address(address: Address, policy: Policy) -> None:
    """EgressDenied, with the reason, for an address that may not be reached."""
    for reached in _reached(address):
        if reason := _refusal(reached, policy):
            raise EgressDenied(f"{address} is {reason}: not allowed")


def _check_name(host: str, policy: Policy) -> None:
    if _is_number(host):
        # The C library takes 2130706433, 0x7f.1 and 127.0.0.01 for addresses too; no honest URL needs them.
        raise EgressDenied("write an IPv4 address as four decimal numbers")
    if len(host) > 253 or not HOST_NAME.fullmatch(host):
        raise EgressDenied("not a host name; a dot at its end is not allowed either")
    if LOCAL_NAMES.fullmatch(host) and not policy.allow_loopback:
        raise EgressDenied(f"{host} is this machine: not allowed")


def _is_number(host: str) -> bool:
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return False
    return True


def _reached(address: Address) -> Iterator[Address]:
    """Every address that a packet to this one may end at: the IPv4 addresses inside an IPv6 one count as well."""
    if isinstance(address, IPv4Address):
        yield address
        return
    number = int(address)
    for network, bit in TRANSLATED.items():
        if address in network and number > 1:  # :: and ::1 are not IPv4-compatible addresses
            yield IPv4Address(number >> (96 - bit) & 0xFFFFFFFF)
            if network == TEREDO:
                yield IPv4Address(~number & 0xFFFFFFFF)
            return
    yield address
    if number >> 32 & 0xFFFFFFFF in ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)


def _refusal(address: Address, policy: Policy) -> str | None:
    """Why an address may not be reached; None when it may."""
    for reason, networks in NEVER.items():
        if _within(address, networks):
            return reason
    if _within(address, LOOPBACK):
        return None if policy.allow_loopback else "loopback"
    if not _within(address, PRIVATE):
        if address.version == 6 and address not in PUBLIC_IPV6:
            return "reserved"
        if address.is_global:
            return None
    return None if policy.allow_private else "private"


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
