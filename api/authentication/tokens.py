"""Access tokens: signed, short-lived, for one person in one tenant.

The algorithm is pinned, and a token without exp, aud, iss, sub, tenant, sid or jti is none. A good token says who
signed in; whether session, membership and account still stand is asked of the record (`api.auth`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, cast
from uuid import UUID, uuid4

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from engine.errors import Unauthenticated

ALGORITHM = "HS256"
TYPE = "at+jwt"  # RFC 9068: no other kind of token passes for an access token
ISSUER = "structforge"
AUDIENCE = "structforge-api"
MAX_LENGTH = 2000
_CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    exp={"essential": True},
    iat={"essential": True},
    sub={"essential": True},
    jti={"essential": True},
    sid={"essential": True},
    tenant={"essential": True},
)


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says. `expires_at` is in seconds since 1970."""

    user_id: UUID
    tenant_id: UUID
    session_id: UUID
    expires_at: int


class Tokens:
    """Signs and reads what this installation hands out. The key is asked for when it is needed first."""

    def __init__(self, key: Callable[[], bytes], access_lifetime_s: int) -> None:
        self._key = key
        self.access_lifetime_s = access_lifetime_s

    def issue(self, user_id: UUID, tenant_id: UUID, session_id: UUID) -> str:
        """A new access token. Raises: ConfigurationError if the key cannot be used."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.access_lifetime_s,
            "jti": uuid4().hex,
            "sub": str(user_id),
            "tenant": str(tenant_id),
            "sid": str(session_id),
        }
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE}, claims, self._signing, algorithms=[ALGORITHM])

    def read(self, token: str) -> AccessClaims:
        """Raises: Unauthenticated, without saying why."""
        try:
            if len(token) > MAX_LENGTH:
                raise ValueError("too long")
            decoded = jwt.decode(token, self._signing, algorithms=[ALGORITHM])
            if decoded.header.get("typ") != TYPE:
                raise ValueError("another kind of token")
            claims = decoded.claims
            _CLAIMS.validate(claims)
            return AccessClaims(UUID(claims["sub"]), UUID(claims["tenant"]), UUID(claims["sid"]), int(claims["exp"]))
        except (JoseError, ValueError, TypeError, AttributeError):
            raise Unauthenticated("the access token is not valid, or has expired") from None

    def seal(self, content: dict[str, Any], lifetime_s: int) -> str:
        """Text that only this installation can read and make, for a browser to keep for a while."""
        text = json.dumps({**content, "exp": int(time.time()) + lifetime_s})
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, text, self._sealing)

    def unseal(self, text: str) -> dict[str, Any]:
        """Raises: Unauthenticated if the text was changed, is too old, or was never sealed here."""
        try:
            opened = jwe.decrypt_compact(text, self._sealing, algorithms=["dir", "A256GCM"])
            content = json.loads(opened.plaintext or b"")
            if content["exp"] <= time.time():
                raise ValueError("too old")
            return cast("dict[str, Any]", content)
        except (JoseError, ValueError, TypeError, KeyError):
            raise Unauthenticated("this sign-in has taken too long or began elsewhere; begin again") from None

    @cached_property
    def _signing(self) -> OctKey:
        return OctKey.import_key(self._key())

    @cached_property
    def _sealing(self) -> OctKey:
        # A key of its own, so that nothing sealed can pass for something signed.
        derived = blake2b(b"sign-in state", key=blake2b(self._key(), digest_size=64).digest(), digest_size=32)
        return OctKey.import_key(derived.digest())
