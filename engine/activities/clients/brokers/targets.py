"""What the URL of a broker says, and whether a workflow may reach it.

    amqp://user:password@host:5672/virtual-host      amqps://...
    redis://:password@host:6379/0                    rediss://...
    nats://user:password@host:4222,other:4222        tls://...   (a user name alone is a token)
    kafka://user:password@host:9092,other:9092       kafkas://...   ?sasl=SCRAM-SHA-512

`?ca=/path/to/ca.pem` names the authorities to trust in place of the system's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from engine.errors import ACCESS_DENIED, BLOCKED_ADDRESS, EXTERNAL_ERROR, INVALID_CONFIG, NodeError
from engine.nodes.messaging.exchange import Broker
from engine.nodes.outbound.addresses import HttpPolicy, host_matches, normal_host
from engine.nodes.outbound.redaction import Redaction

Kind = Literal["rabbitmq", "redis", "nats", "kafka"]
# scheme: kind, TLS, default port
_SCHEMES: dict[str, tuple[Kind, bool, int]] = {
    "amqp": ("rabbitmq", False, 5672),
    "amqps": ("rabbitmq", True, 5671),
    "redis": ("redis", False, 6379),
    "rediss": ("redis", True, 6379),
    "nats": ("nats", False, 4222),
    "tls": ("nats", True, 4222),
    "kafka": ("kafka", False, 9092),
    "kafkas": ("kafka", True, 9092),
}
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_OPTIONS: dict[Kind, frozenset[str]] = {
    "rabbitmq": frozenset({"ca"}),
    "redis": frozenset({"ca"}),
    "nats": frozenset({"ca"}),
    "kafka": frozenset({"ca", "sasl"}),
}
_SEVERAL_HOSTS = frozenset({"nats", "kafka"})


@dataclass(frozen=True)
class Target:
    """A broker's address taken apart; nothing of it but `name` and `kind` may be shown."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    path: str = ""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The hosts, for messages."""
        return ",".join(host for host, _ in self.hosts)

    @property
    def addresses(self) -> list[str]:
        """`host:port` of each, an IPv6 address in brackets."""
        return [f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.hosts]

    @cached_property
    def redaction(self) -> Redaction:
        return Redaction(self.secrets)

    def ssl_context(self) -> ssl.SSLContext | None:
        """Verifies certificate and host name. Raises: NodeError INVALID_CONFIG if the file of authorities is none."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.options.get("ca"))
        except (OSError, ssl.SSLError):
            raise _invalid("the file that ?ca= names holds no certificates that can be read") from None


def parse_target(broker: Broker) -> Target:
    """Read a credential's URL.

    Raises: NodeError INVALID_CONFIG, or ACCESS_DENIED if a host is none of the credential's; never with a secret in it.
    """
    try:
        parts = urlsplit(broker.url)
        target = _target(parts)
    except (ValueError, UnicodeError):
        raise _invalid("the credential's url cannot be read: write scheme://user:password@host:port") from None
    _check_options(target, trusted=broker.trusted)
    allowed = broker.allowed_hosts
    if allowed:
        names = [normal_host(name) for name in allowed]
        strangers = [host for host, _ in target.hosts if not host_matches(host, names)]
        if strangers:
            message = f"the credential is bound to other hosts than {strangers[0]}"
            raise NodeError(message, code=ACCESS_DENIED, details={"host": strangers[0]})
    return target


def _target(parts: SplitResult) -> Target:
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        raise _invalid(f"the credential's url must begin with one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    kind, tls, port = scheme
    user, _, places = parts.netloc.rpartition("@")
    hosts = tuple(_host(place, port) for place in places.split(","))
    if len(hosts) > 1 and kind not in _SEVERAL_HOSTS:
        raise _invalid(f"a url of {kind} names one host")
    name, colon, word = user.partition(":")
    username, password = unquote(name) or None, unquote(word) if colon else None
    return Target(
        kind=kind,
        tls=tls,
        hosts=hosts,
        username=username,
        password=password,
        path=unquote(parts.path.removeprefix("/")),
        options=dict(parse_qsl(parts.query, keep_blank_values=True)),
        # A user name alone is a token.
        secrets=tuple(text for text in (word, password, *((name, username) if not colon else ())) if text),
    )


def _host(place: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    if not parts.hostname or parts.path:
        raise ValueError
    return parts.hostname, parts.port or default_port


def _check_options(target: Target, *, trusted: bool) -> None:
    unknown = sorted(target.options.keys() - _OPTIONS[target.kind])
    if unknown:
        known = ", ".join(sorted(_OPTIONS[target.kind]))
        raise _invalid(f"the credential's url has the unknown option {unknown[0][:40]!r}: known here are {known}")
    if target.options.get("sasl", "PLAIN") not in SASL_MECHANISMS:
        raise _invalid(f"the option sasl must be one of {', '.join(SASL_MECHANISMS)}")
    if "ca" in target.options and not trusted:
        raise _invalid("the option ca names a file of this machine, which is the operator's to do")


async def guarded(target: Target, policy: HttpPolicy) -> Target:
    """The target with its hosts checked, for a credential that nobody vouches for.

    A plain connection goes to the very address that was checked. Over TLS it goes by name, so that the certificate can
    be verified; an internal server that a name were turned to could not show one.

    Raises: NodeError BLOCKED_ADDRESS; EXTERNAL_ERROR if a name does not resolve.
    """
    if target.kind == "kafka":
        # Its clients go on to wherever the first answer sends them.
        raise NodeError(
            "a Kafka cluster names its own hosts: only the operator may keep its credential", code=BLOCKED_ADDRESS
        )
    checked = [(await _permitted(host, port, policy), port) for host, port in target.hosts]
    return target if target.tls else replace(target, hosts=tuple(checked))


async def _permitted(host: str, port: int, policy: HttpPolicy) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        message = f"the name {host} does not resolve"
        raise NodeError(message, code=EXTERNAL_ERROR, details={"host": host}, retryable=True) from None
    addresses = [str(entry[4][0]) for entry in found]
    refused = [address for address in addresses if not policy.permits(host, address)]
    if refused or not addresses:
        raise NodeError(
            f"{host} is an internal address: an operator may allow the host by STRUCTFORGE_HTTP__ALLOWED_HOSTS",
            code=BLOCKED_ADDRESS,
            details={"host": host},
        )
    return addresses[0]


def _invalid(message: str) -> NodeError:
    return NodeError(message, code=INVALID_CONFIG)
