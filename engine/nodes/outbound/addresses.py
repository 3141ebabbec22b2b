"""Which addresses a workflow may reach.

An own list of what is refused, because `ipaddress.is_global` calls several internal ranges global (192.0.0.192,
::127.0.0.1 and 64:ff9b::/96 on Python 3.11). IPv6 is refused but for global unicast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DENIED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform service, a public address that only virtual machines see
        "169.254.0.0/16",  # link-local, and the metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata service
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries any IPv4 address
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """What operators let through beside the public internet: host names or CIDR blocks.

    A name lets through whatever it resolves to; `*.example.org` any name below. `max_connections` bounds the pool.
    """

    allowed_hosts: Sequence[str] = ()
    max_connections: int = 200
    _networks: tuple[Network, ...] = field(init=False, repr=False, default=())
    _names: frozenset[str] = field(init=False, repr=False, default=frozenset())

    def __post_init__(self) -> None:
        networks = [network for entry in self.allowed_hosts if (network := _network(entry)) is not None]
        names = [normal_host(entry) for entry in self.allowed_hosts if _network(entry) is None]
        object.__setattr__(self, "_networks", tuple(networks))
        object.__setattr__(self, "_names", frozenset(names))

    def permits(self, host: str, address: str) -> bool:
        """Whether a connection to `address`, reached by the name `host`, may be made."""
        target = _target(address)
        if target is None:
            return False
        if any(target.version == network.version and target in network for network in self._networks):
            return True
        return host_matches(host, self._names) or not is_denied(target)


def is_denied(address: Address) -> bool:
    """Whether an address is internal, special or otherwise no place on the public internet."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_denied(address.ipv4_mapped)
        scoped = address.scope_id is not None
        return scoped or address not in _GLOBAL_V6 or any(address in network for network in _DENIED_V6)
    return any(address in network for network in _DENIED_V4)


def normal_host(host: str) -> str:
    return host.strip().rstrip(".").lower()


def host_matches(host: str, names: frozenset[str] | Sequence[str]) -> bool:
    """Whether a host is one of the names, or below a `*.` one."""
    wanted = normal_host(host)
    return wanted in names or any(name.startswith("*.") and wanted.endswith(name[1:]) for name in names)


def _target(address: str) -> Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry.strip().strip("[]"), strict=False)
    except ValueError:
        return None
