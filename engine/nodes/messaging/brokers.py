"""Which broker a credential names."""

from __future__ import annotations

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.context import Credential
from engine.nodes.messaging.exchange import Broker


def broker_of(credential: Credential | None) -> Broker:
    """The broker of a credential of type connection.

    Raises: NodeError INVALID_CONFIG, without a secret in it.
    """
    if credential is None:
        raise NodeError(
            "this node needs a credential of type connection: its url names the broker", code=INVALID_CONFIG
        )
    if credential["type"] != "connection":
        raise NodeError(
            f"a credential of type {credential['type']} names no broker: use one of type connection",
            code=INVALID_CONFIG,
        )
    url = credential.get("url")
    if not url:
        raise NodeError("the credential of type connection has no url", code=INVALID_CONFIG)
    return Broker(url, trusted=credential.get("trusted") is True, allowed_hosts=credential.get("allowed_hosts"))
