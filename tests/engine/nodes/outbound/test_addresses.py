from __future__ import annotations

from ipaddress import ip_address

import pytest

from engine.nodes.outbound.addresses import HttpPolicy, is_denied

DENIED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.0.1
169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1
192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1
2001:db8::1 2002:7f00:1:: 2001:20::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%1 fec0::1 ff02::1
""".split()  # noqa: SIM905  # reads better than fifty quoted words
PUBLIC = "1.1.1.1 8.8.8.8 93.184.216.34 172.32.0.1 100.128.0.1 192.0.1.1 2606:4700::1111 2a00:1450:4001::1".split()  # noqa: SIM905


@pytest.mark.parametrize("address", DENIED)
def test_internal_and_special_addresses_are_denied(address: str) -> None:
    assert is_denied(ip_address(address))
    assert not HttpPolicy().permits("some.example", address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str) -> None:
    assert HttpPolicy().permits("some.example", address)


@pytest.mark.parametrize(
    ("allowed", "host", "address", "permitted"),
    [
        ("10.0.0.0/8", "db.example", "10.1.2.3", True),
        ("10.0.0.0/8", "db.example", "11.0.0.1", True),  # public anyway
        ("10.0.0.0/8", "db.example", "127.0.0.1", False),
        ("127.0.0.1", "localhost", "127.0.0.1", True),
        ("127.0.0.1", "localhost", "127.0.0.2", False),
        ("127.0.0.1", "localhost", "::ffff:127.0.0.1", True),
        ("[::1]", "localhost", "::1", True),
        ("Internal.Example", "internal.example.", "10.0.0.1", True),
        ("internal.example", "evil.internal.example", "10.0.0.1", False),
        ("*.internal.example", "a.internal.example", "10.0.0.1", True),
        ("*.internal.example", "internal.example", "10.0.0.1", False),
        ("*.internal.example", "evilinternal.example", "10.0.0.1", False),
        ("internal.example", "internal.example", "no address", False),
    ],
)
def test_operators_let_through_hosts_and_blocks(allowed: str, host: str, address: str, permitted: bool) -> None:
    assert HttpPolicy(allowed_hosts=[allowed]).permits(host, address) is permitted
