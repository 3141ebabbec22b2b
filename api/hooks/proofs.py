"""Whether a call proves what its webhook asks for: a key, a bearer token, or a fresh signature that nobody used yet.

Source of signatures: Standard Webhooks 1.0.0, HMAC-SHA256 over `id.timestamp.body`, the body as it came. Whatever is
missing, unreadable or away, the call is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.datastructures import Headers, QueryParams

from api.audit import note_reason
from api.resources import Resources
from engine.errors import NodeError, Unauthenticated
from engine.nodes.context import Credential
from engine.nodes.outbound.signing import secrets_of
from engine.nodes.outbound.webhooks import signature_of, signing_key
from engine.nodes.trigger.webhook import WebhookParams
from models.repositories.nonces import Nonces
from models.tenancy import TenantId

WINDOW_S = 300
MARGIN_S = 60  # that a nonce is kept longer than its call could be fresh, for clocks that differ
MAX_SIGNATURES = 10
MAX_ID = 255
REFUSED = "WEBHOOK_REFUSED"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
# What proves somebody to somebody, and so is nobody else's to read: never part of an execution's input.
PRIVATE_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "x-share-token",
        "x-hub-signature",
        "x-hub-signature-256",
        "x-gitlab-token",
        "x-amz-security-token",
        "stripe-signature",
        SIGNATURE,
    }
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as it came; `body` is not decompressed yet."""

    method: str
    path: str
    headers: Headers
    query: QueryParams
    body: bytes


@dataclass(frozen=True, slots=True)
class Carriers:
    """Headers (in lower case) and query parameters that carried a secret."""

    headers: frozenset[str] = PRIVATE_HEADERS
    query: frozenset[str] = frozenset()


async def check_proof(
    resources: Resources, tenant: TenantId, params: WebhookParams, credential: str | None, arrival: Arrival
) -> Carriers:
    """What carried the proof of a call that may come in. Raises: Unauthenticated (WEBHOOK_REFUSED); SystemFault."""
    if params.auth == "none":
        return Carriers()
    kept = await _kept(resources, tenant, params, credential)
    if params.auth == "hmac":
        await _check_signature(resources, tenant, kept, arrival)
        return Carriers()
    if params.auth == "bearer":
        return _check_bearer(kept, arrival)
    return _check_key(kept, arrival)


async def _kept(resources: Resources, tenant: TenantId, params: WebhookParams, name: str | None) -> Credential:
    """The credential to compare with, if it is of the type that the webhook asks for."""
    try:
        kept = None if name is None else await resources.credentials.kept(tenant, name)
    except NodeError as error:
        _log.warning("a webhook at %s of tenant %s refuses every call: %s", params.path, tenant, error.message)
        raise _refused("its credential cannot be read") from None
    if kept is None or kept["type"] != params.auth:
        _log.warning("a webhook at %s of tenant %s refuses every call: no %s", params.path, tenant, params.auth)
        raise _refused("its credential is of another type")
    return kept


def _check_bearer(kept: Credential, arrival: Arrival) -> Carriers:
    scheme, _, token = _single(arrival, "authorization").partition(" ")
    if scheme.lower() != "bearer" or not _equal(token.strip(), str(kept.get("token") or "")):
        raise _refused("the bearer token is another")
    return Carriers()


def _check_key(kept: Credential, arrival: Arrival) -> Carriers:
    try:
        expected = secrets_of(kept)
    except NodeError:
        raise _refused("its credential holds no key") from None
    for name, value in expected.query:
        given = arrival.query.getlist(name)
        if len(given) != 1 or not hmac.compare_digest(given[0].encode("utf-8", "replace"), value.encode()):
            raise _refused("the key is another")
        return Carriers(query=frozenset({name}))
    for name, value in expected.headers:
        if not _equal(_single(arrival, name), value):
            raise _refused("the key is another")
        return Carriers(PRIVATE_HEADERS | {name.lower()})
    raise _refused("its credential holds no key")


async def _check_signature(resources: Resources, tenant: TenantId, kept: Credential, arrival: Arrival) -> None:
    message_id, timestamp, signatures = (_single(arrival, name) for name in (ID, TIMESTAMP, SIGNATURE))
    if not message_id or not timestamp or not signatures:
        raise _refused(f"the call is not signed: it needs {ID}, {TIMESTAMP} and {SIGNATURE}")
    # Without a dot the id cannot be taken for more or less of what is signed.
    if "." in message_id or len(message_id) > MAX_ID or not _is_number(timestamp):
        raise _refused("the signature is another")
    signed_s = int(timestamp)
    try:
        key = signing_key(str(kept.get("secret") or ""))
    except NodeError:
        raise _refused("its credential holds no key") from None
    expected = signature_of(key, message_id, signed_s, arrival.body)
    given = signatures.split(" ")[:MAX_SIGNATURES]
    if not key or not sum(_equal(one, expected) for one in given):  # all are compared, whichever fits
        raise _refused("the signature is another")
    if abs(time.time() - signed_s) > WINDOW_S:
        raise _refused(f"the signature is from more than {WINDOW_S} s ago, or ahead")
    nonce = hashlib.sha256(f"{message_id}.{signed_s}".encode()).hexdigest()
    until = datetime.fromtimestamp(signed_s + WINDOW_S + MARGIN_S, UTC)
    if not await Nonces(resources.database).spend(tenant, kept.get("name", ""), nonce, until):
        raise _refused("the signature was used before: sign each try anew")


def _is_number(timestamp: str) -> bool:
    return timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12 and str(int(timestamp)) == timestamp


def _single(arrival: Arrival, name: str) -> str:
    """The header; nothing if it is not there, or there twice."""
    given = arrival.headers.getlist(name)
    return given[0] if len(given) == 1 else ""


def _equal(given: str, expected: str) -> bool:
    """Compared in a time that does not tell how much of it fits; an empty secret fits nothing."""
    return bool(expected) and hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode())


def _refused(reason: str) -> Unauthenticated:
    note_reason(reason)
    return Unauthenticated(f"the webhook refuses the call: {reason}", code=REFUSED)
