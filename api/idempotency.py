"""`Idempotency-Key` on requests that define something: the same request under a key is answered, not repeated.

The claim on a key, the change and the reply that is kept stand in one transaction, so no moment of a crash leaves one
without the others; two requests of one key at the same time wait for each other. What was refused is not kept. Starts
and bulk commands, which reach beyond PostgreSQL, keep their keys themselves.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request, Response

from api.auth import Identity
from engine.errors import Conflict, Issue, ValidationFailed
from models.repositories.idempotent_replies import IdempotentReplies, body_of
from models.session import Database
from models.tables import IdempotentReply
from models.tenancy import TenantId

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY_LENGTH = 255
KEY_PARAMETER: dict[str, Any] = {
    "name": HEADER.lower(),
    "in": "header",
    "required": False,
    "schema": {
        "anyOf": [{"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH}, {"type": "null"}],
        "title": HEADER,
        "description": "Repeating the request does nothing new and is answered alike",
    },
    "description": "Repeating the request does nothing new and is answered alike",
}
_KEPT_HEADERS = ("content-type", "location", "etag")


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request under a key of its caller's."""

    tenant: TenantId
    actor: UUID
    key_hash: bytes
    digest: bytes

    async def claim(self, database: Database) -> Response | None:
        """None if the request is the first of its key; else the answer to the first.

        Raises: Conflict if the key was used for another request, or if its answer was shown once
        (IDEMPOTENCY_REPLAY_UNAVAILABLE).
        """
        known = await IdempotentReplies(database).claim(self.tenant, self.actor, self.key_hash, self.digest)
        if known is None:
            return None
        if not hmac.compare_digest(known.request_digest, self.digest):
            raise Conflict("the idempotency key was used for another request: choose a new key")
        return _replayed(known)

    async def keep(self, database: Database, response: Response) -> None:
        """Keep the answer for requests that repeat this one; the body only if it may be shown again."""
        once = "no-store" in response.headers.get("cache-control", "")
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        body = None if once else bytes(response.body)
        await IdempotentReplies(database).keep(
            self.tenant, self.actor, self.key_hash, response.status_code, headers, body
        )


async def keyed(request: Request, caller: Identity) -> Keyed | None:
    """The request with its key; None without one. Raises: ValidationFailed if the key is empty or too long."""
    key = request.headers.get(HEADER) if request.method == "POST" else None
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        issue = Issue("INVALID_VALUE", "header.idempotency-key", f"has 1 to {MAX_KEY_LENGTH} characters")
        raise ValidationFailed([issue], "the request is not valid")
    secret = key.encode()
    actor = caller.user_id or caller.key_id
    return Keyed(caller.tenant, actor, hashlib.sha256(secret).digest(), _digest(request, secret, await request.body()))


def _digest(request: Request, secret: bytes, body: bytes) -> bytes:
    """What the request asks for. Under the key, which is not kept: of a body with a password nothing can be guessed."""
    with suppress(orjson.JSONDecodeError, RecursionError):  # a document as YAML, or an archive: byte for byte
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    asked = [request.url.path.encode(), request.url.query.encode(), body]
    return hmac.digest(secret, b"\0".join(asked), "sha256")


def _replayed(known: IdempotentReply) -> Response:
    headers: Mapping[str, str] = known.headers or {}
    body = body_of(known)
    if body is None:
        message = "the request was carried out, and its answer was shown once: nothing was done now"
        details = {name: value for name, value in headers.items() if name == "location"}
        raise Conflict(message, code="IDEMPOTENCY_REPLAY_UNAVAILABLE", details=details)
    return Response(body, known.status or 200, headers={**headers, REPLAYED: "true"})
