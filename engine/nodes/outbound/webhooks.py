"""Signatures of webhooks that are sent.

Source: Standard Webhooks 1.0.0: HMAC-SHA256 over `id.timestamp.body`, in the headers `webhook-id`, `webhook-timestamp`
and `webhook-signature: v1,<base64>`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from engine.errors import INVALID_CONFIG, NodeError

_KEY_PREFIX = "whsec_"


def delivery_id(idempotency_key: str) -> str:
    """The id of a delivery: the same for every attempt of a node execution, and without the dot that ends it when it
    is signed."""
    return "msg_" + hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]


def signing_key(secret: str) -> bytes:
    """The key of a secret: what follows `whsec_` is base64; any other text is the key itself, in UTF-8.

    Raises: NodeError INVALID_CONFIG, which does not show the secret.
    """
    if not secret.startswith(_KEY_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise NodeError("the secret after whsec_ is not valid base64", code=INVALID_CONFIG) from None


def signature_of(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")
