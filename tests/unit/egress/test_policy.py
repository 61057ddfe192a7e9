"""Which addresses and URLs may be reached."""

from ipaddress import ip_address

import pytest

from ansible_api.egress import EgressDenied, Policy, check_url
from ansible_api.egress.policy import check_address
from ansible_api.errors import InvalidRequest
from ansible_api.settings import Settings

PUBLIC_ONLY = Policy()
PRIVATE = Policy(allow_private=True)
LOOPBACK = Policy(allow_loopback=True)
ANY = Policy(allow_private=True, allow_loopback=True)

PUBLIC_ADDRESSES = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "2606:4700::1111"]
LOOPBACK_ADDRESSES = ["127.0.0.1", "127.255.255.254", "::1", "::1%lo"]
PRIVATE_ADDRESSES = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"]
PRIVATE_ADDRESSES += ["fc00::1", "fd12:3456::1", "fec0::1", "192.0.2.1", "198.18.0.1", "203.0.113.1", "2001:db8::1"]
NEVER_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd00:ec2::254%eth0",
    "fd20:ce::254",
    "100::1",
    "4000::1",
    "64:ff9b:1::7f00:1",
    "fe80::5efe:8.8.8.8",
]


def embedding(ipv4: str) -> list[str]:
    """The IPv6 addresses that mean this IPv4 address to some translator or tunnel."""
    number = int(ip_address(ipv4))
    high, low = number >> 16, number & 0xFFFF
    inverted = f"{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"
    return [
        f"::ffff:{ipv4}",
        f"::ffff:{ipv4}%eth0",
        f"::ffff:0:{ipv4}",
        f"64:ff9b::{ipv4}",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:{high:x}:{low:x}::f7f7:f7f7",
        f"2001:0:808:808::{inverted}",
        f"2606:4700::5efe:{ipv4}",
        f"2606:4700::200:5efe:{ipv4}",
        *([f"::{ipv4}"] if number > 1 else []),
    ]


def allowed(address: str, policy: Policy) -> bool:
    try:
        check_address(ip_address(address), policy)
    except EgressDenied:
        return False
    return True


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_may_be_reached(address: str):
    assert allowed(address, PUBLIC_ONLY)


@pytest.mark.parametrize("address", LOOPBACK_ADDRESSES)
def test_loopback_may_be_reached_only_by_its_flag(address: str):
    assert [allowed(address, policy) for policy in (PUBLIC_ONLY, PRIVATE, LOOPBACK)] == [False, False, True]


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_a_private_address_may_be_reached_only_by_its_flag(address: str):
    assert [allowed(address, policy) for policy in (PUBLIC_ONLY, LOOPBACK, PRIVATE)] == [False, False, True]


@pytest.mark.parametrize("address", NEVER_ADDRESSES)
def test_some_addresses_may_never_be_reached(address: str):
    assert not allowed(address, ANY)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1"])
def test_an_ipv6_address_that_means_a_public_ipv4_address_may_be_reached(address: str):
    assert [ipv6 for ipv6 in embedding(address) if not allowed(ipv6, PUBLIC_ONLY)] == []


@pytest.mark.parametrize("address", [*NEVER_ADDRESSES, *LOOPBACK_ADDRESSES, *PRIVATE_ADDRESSES])
def test_an_ipv4_address_is_no_better_inside_an_ipv6_address(address: str):
    if ":" in address:
        return
    assert [ipv6 for ipv6 in embedding(address) if allowed(ipv6, PUBLIC_ONLY)] == []
    if address in NEVER_ADDRESSES:
        assert [ipv6 for ipv6 in embedding(address) if allowed(ipv6, ANY)] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://134744072/",
        "http://127.0.0.1./",
        "http://127。0。0。1/",
        "http://127%2e0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://0/",
        "http://0.0.0.0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://localhost/",
        "http://LOCALHOST:8000/",
        "http://localhost./",
        "http://x.localhost/",
        "http://localhost.localdomain/",
        "http://ip6-localhost/",
        "http://example.com./",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://exa mple.com/",
        "http://-example.com/",
        "http://example..com/",
        "http://" + "a" * 64 + ".com/",
        "http://" + ".".join(["a" * 60] * 5) + "/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:port/",
        "http:///path",
        "http:example.com",
        "//example.com/",
        "example.com",
        "",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://example.com/\n",
        "http://[::1/",
    ],
)
def test_a_url_that_must_not_be_called_is_refused_without_dns(url: str):
    with pytest.raises(EgressDenied):
        check_url(url, PUBLIC_ONLY)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook?a=b",
        "http://example.com:8080/",
        "https://ci_runner.example.com/",
        "https://münchen.example/",
        "http://8.8.8.8/",
        "http://[2606:4700::1111]:8443/",
        "http://notlocalhost/",
        "http://localhost.example.com/",
        "http://7f.example/",
    ],
)
def test_a_url_that_may_be_called_is_taken(url: str):
    check_url(url, PUBLIC_ONLY)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://[::1]/", "http://localhost/"])
def test_loopback_urls_are_taken_by_the_flag_for_trials(url: str):
    check_url(url, LOOPBACK)


@pytest.mark.parametrize("url", ["http://2130706433/", "http://localhost./", "http://169.254.169.254/"])
def test_no_flag_opens_what_is_never_right(url: str):
    with pytest.raises(EgressDenied):
        check_url(url, ANY)


def test_a_refusal_is_the_callers_to_mend():
    with pytest.raises(InvalidRequest) as refusal:
        check_url("http://169.254.169.254/", ANY)
    assert (refusal.value.status, refusal.value.retryable) == (422, False)
    assert refusal.value.detail == "169.254.169.254 is link-local or cloud metadata: not allowed"


def test_the_settings_say_what_may_be_reached():
    settings = {"database_url": "x", "redis_url": "x", "master_key": "x", "objects_dir": "x"}
    assert Policy.of(Settings(**settings)) == Policy(allow_private=True, allow_loopback=False)
    assert Policy.of(Settings(**settings, private_egress=False, loopback_egress=True)) == LOOPBACK
