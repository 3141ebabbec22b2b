"""Access tokens of OAuth 2.0 clients: fetched once, kept until shortly before they expire.

Source: RFC 6749, 4.4 (client credentials) and 2.3.1 (the client proves itself by HTTP basic authentication).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.errors import ACCESS_DENIED, EXTERNAL_ERROR, NodeError
from engine.nodes.context import Credential
from engine.nodes.json_text import parse_json
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.outbound.signing import secrets_of
from engine.nodes.ports import HttpPort, HttpRequest, HttpResponse

OAUTH2 = "oauth2_client_credentials"
SPARE_S = 30.0  # a token is not used so shortly before its end
USUAL_LIFE_S = 300.0  # of a token whose server does not say
LONGEST_LIFE_S = 86_400.0
FETCH_TIMEOUT_S = 20.0
MAX_KEPT = 1000
_SHOWN_CHARS = 200


@dataclass(slots=True)
class _Kept:
    """A token, encrypted under this process's own key, and whether it has been handed out before."""

    sealed: bytes = field(repr=False)
    until: float
    used: bool = False


class AccessTokens:
    """Tokens of this process. Beside their use they exist encrypted, and are gone with the process."""

    def __init__(self, http: HttpPort) -> None:
        self._http = http
        self._key = AESGCM(AESGCM.generate_key(256))
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._fetches: dict[str, asyncio.Lock] = {}

    async def bearer(self, tenant: str, credential: Credential) -> Credential:
        """The credential as a bearer token. Calls at the same time share one fetch.

        Raises: NodeError ACCESS_DENIED if the server refuses the client, EXTERNAL_ERROR for an answer that is none,
        and what the HTTP client raises.
        """
        place = _place(tenant, credential)
        kept = self._living(place)
        if kept is None:
            lock = self._fetches.setdefault(place, asyncio.Lock())
            try:
                async with lock:
                    kept = self._living(place) or self._keep(place, await self._fetch(credential))
            finally:
                if not lock.locked():
                    self._fetches.pop(place, None)
        else:
            kept.used = True
        return _as_bearer(credential, self._opened(kept))

    def forget(self, tenant: str, credential: Credential) -> bool:
        """Drop the token that `credential` carries; whether it was kept here and had been used before."""
        place = _place(tenant, credential)
        kept = self._kept.get(place)
        if kept is None or not secrets.compare_digest(
            self._opened(kept).encode(), credential.get("token", "").encode()
        ):
            return False
        if kept.used:
            del self._kept[place]
        return kept.used

    def _living(self, place: str) -> _Kept | None:
        kept = self._kept.get(place)
        return kept if kept is not None and kept.until > time.monotonic() else None

    def _keep(self, place: str, answer: tuple[str, float]) -> _Kept:
        token, life_s = answer
        nonce = secrets.token_bytes(12)
        kept = _Kept(nonce + self._key.encrypt(nonce, token.encode(), None), time.monotonic() + life_s)
        self._kept[place] = kept
        self._kept.move_to_end(place)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return kept

    def _opened(self, kept: _Kept) -> str:
        return self._key.decrypt(kept.sealed[:12], kept.sealed[12:], None).decode()

    async def _fetch(self, credential: Credential) -> tuple[str, float]:
        """A token, and how long it may be used in seconds."""
        try:
            response = await self._http.send(_request(credential))
        except NodeError as error:
            raise _redaction(credential).error(error) from None
        if response.status != 200:
            raise _refused(credential, response)
        return _token(credential, response)


def _request(credential: Credential) -> HttpRequest:
    form = {"grant_type": "client_credentials"}
    if credential.get("scopes"):
        form["scope"] = " ".join(credential.get("scopes", []))
    if credential.get("audience"):
        form["audience"] = credential.get("audience", "")
    # RFC 6749, 2.3.1: both are form-encoded before they are put together.
    name, word = quote(credential.get("client_id", ""), safe=""), quote(credential.get("client_secret", ""), safe="")
    signed = secrets_of({"type": "basic", "username": name, "password": word})
    return HttpRequest(
        method="POST",
        url=credential.get("token_url", ""),
        headers=[("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")],
        content=urlencode(form).encode(),
        secret_headers=signed.headers,
        timeout_s=FETCH_TIMEOUT_S,
        max_redirects=0,  # the secret goes to the named place alone
        max_response_bytes=200_000,
        idempotent=True,
    )


def _refused(credential: Credential, response: HttpResponse) -> NodeError:
    retryable = response.status in (408, 425, 429) or response.status >= 500
    answer = _redaction(credential).text(response.content[:2000].decode("utf-8", "replace"))[:_SHOWN_CHARS]
    name = credential.get("name", "")
    return NodeError(
        f"the token server of the credential {name!r} answered {response.status}",
        code=EXTERNAL_ERROR if retryable else ACCESS_DENIED,
        details={"credential": name, "token_status": response.status, "answer": answer},
        retryable=retryable,
    )


def _token(credential: Credential, response: HttpResponse) -> tuple[str, float]:
    try:
        answer: Any = parse_json(response.content)
    except ValueError:
        answer = None
    found = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    token, kind = found.get("access_token"), str(found.get("token_type", "bearer"))
    if not isinstance(token, str) or not token or not token.isprintable() or kind.lower() != "bearer":
        name = credential.get("name", "")
        raise NodeError(f"the token server of the credential {name!r} gave no bearer token", code=EXTERNAL_ERROR)
    return token, _life_s(found.get("expires_in"))


def _life_s(given: Any) -> float:
    try:
        stated = min(float(given), LONGEST_LIFE_S)
    except (TypeError, ValueError):
        stated = USUAL_LIFE_S
    return stated - min(SPARE_S, max(stated, 0.0) / 2)


def _as_bearer(credential: Credential, token: str) -> Credential:
    fields: dict[str, Any] = dict(credential)
    kept = {key: fields[key] for key in ("name", "version", "trusted", "allowed_hosts") if key in fields}
    return cast("Credential", {**kept, "type": "bearer", "token": token})


def _place(tenant: str, credential: Credential) -> str:
    """Where a token is kept; a replaced credential of a tenant has another version, and so another token."""
    return f"{tenant}\n{credential.get('name', '')}\n{credential.get('version', '')}"


def _redaction(credential: Credential) -> Redaction:
    secret = credential.get("client_secret", "")
    signed = secrets_of({"type": "basic", "username": credential.get("client_id", "x") or "x", "password": secret})
    return Redaction([secret, *signed.values])
