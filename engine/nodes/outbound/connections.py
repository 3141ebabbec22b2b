"""Connections that are no HTTP: which address the client of a credential may connect to."""

from __future__ import annotations

import ssl
from typing import Any

import httpcore2

from engine.errors import ACCESS_DENIED, BLOCKED_ADDRESS, EXTERNAL_ERROR, NodeError
from engine.nodes.context import Credential
from engine.nodes.outbound.addresses import HttpPolicy, host_matches, normal_host
from engine.nodes.outbound.transport import Resolver, resolve_name


async def permitted_address(
    credential: Credential, host: str, port: int, policy: HttpPolicy, resolve: Resolver = resolve_name
) -> str:
    """Where to connect to: the host itself if the credential is trusted, else an address of it that was checked.

    Connecting to the address, not to the name, keeps a second answer of the name server from changing the target.

    Raises: NodeError ACCESS_DENIED for a host that the credential is not bound to, BLOCKED_ADDRESS for an internal
    one, EXTERNAL_ERROR for a name that does not resolve.
    """
    allowed = credential.get("allowed_hosts")
    if allowed is not None and not host_matches(host, [normal_host(name) for name in allowed]):
        raise NodeError(
            f"the credential is bound to other hosts than {host}", code=ACCESS_DENIED, details={"host": host}
        )
    if credential.get("trusted") is True:
        return host
    try:
        addresses = await resolve(host, port)
    except httpcore2.ConnectError as error:
        raise NodeError(str(error), code=EXTERNAL_ERROR, details={"host": host}, retryable=True) from None
    permitted = [address for address in addresses if policy.permits(host, address)]
    if not permitted:
        raise NodeError(
            f"{host} is an internal address: a credential of a tenant reaches the public internet only; an operator "
            "may allow the host by STRUCTFORGE_HTTP__ALLOWED_HOSTS",
            code=BLOCKED_ADDRESS,
            details={"host": host},
        )
    return permitted[0]


class NamedContext(ssl.SSLContext):
    """A client's TLS settings that check the certificate against `name`, whatever address is connected to."""

    name: str

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **{**options, "server_hostname": self.name})


def tls_context(name: str, *, verify: bool = True, check_name: bool = True, ca_file: str | None = None) -> NamedContext:
    """TLS 1.2 or newer. Without `verify` the connection is encrypted to whoever answers.

    Raises: OSError if `ca_file` cannot be read.
    """
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = verify and check_name
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context
