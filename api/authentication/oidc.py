"""Sign-in by a provider of OpenID Connect: authorization code with PKCE, state and nonce.

What the provider publishes is read by the guarded HTTP client and kept for a while; its keys are read again at once if
a token names one that is not known, though not more than once in `KEYS_AT_MOST_EVERY_S`.
Source: OpenID Connect Core 1.0, 3.1; RFC 7636.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from engine.errors import ConfigurationError, NodeError, SystemFault, Unauthenticated
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from engine.nodes.ports import HttpRequest
from engine.settings import Settings
from engine.settings.api import AuthSettings

# Asymmetric ones alone: with a symmetric one, whoever knows the client secret could sign.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
KEEP_S = 3600.0
KEYS_AT_MOST_EVERY_S = 60.0
LEEWAY_S = 60  # between the provider's clock and ours
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Started:
    """A sign-in that has begun: where the browser goes, and what must be known when it comes back."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the provider vouches for."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    claims: dict[str, Any]


class Provider:
    """One provider, as the settings name it."""

    def __init__(self, settings: AuthSettings, http: HttpClient) -> None:
        assert settings.oidc_issuer is not None
        assert settings.oidc_client_id is not None
        assert settings.oidc_redirect_url is not None
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        secret = settings.oidc_client_secret
        self._client_secret = None if secret is None else secret.get_secret_value()
        self._redirect_url = settings.oidc_redirect_url
        self._scopes = settings.oidc_scopes
        self._http = http
        self._published: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def close(self) -> None:
        await self._http.aclose()

    async def begin(self) -> Started:
        """Raises: SystemFault if the provider does not answer."""
        published = await self._discover()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_url,
            "scope": self._scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(published["authorization_endpoint"])
        return Started(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", state, nonce, verifier)

    async def finish(self, code: str, *, nonce: str, verifier: str) -> Vouched:
        """Exchange the code and check what comes for it. Raises: Unauthenticated; SystemFault."""
        published = await self._discover()
        answer = await self._exchange(str(published["token_endpoint"]), code, verifier)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated("the provider sent no ID token")
        return self._vouched(await self._checked(token, nonce))

    async def _exchange(self, endpoint: str, code: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_url,
            "code_verifier": verifier,
        }
        credentials: list[tuple[str, str]] = []
        if self._client_secret is None:
            form["client_id"] = self._client_id
        else:  # RFC 6749, 2.3.1: both halves are form-encoded first
            pair = f"{quote(self._client_id, safe='')}:{quote(self._client_secret, safe='')}"
            credentials.append(("authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
        request = HttpRequest(
            "POST",
            endpoint,
            headers=[("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")],
            content=urlencode(form).encode(),
            secret_headers=credentials,
            timeout_s=TIMEOUT_S,
            max_redirects=0,
            max_response_bytes=MAX_ANSWER_BYTES,
        )
        return await self._ask(request)

    async def _checked(self, token: str, nonce: str) -> dict[str, Any]:
        claims = None
        for fresh in (False, True):
            try:
                claims = jwt.decode(token, await self._key_set(fresh=fresh), algorithms=ALGORITHMS).claims
                break
            except (JoseError, ValueError) as error:
                if fresh:
                    raise _refused(f"its signature: {type(error).__name__}") from None
        assert claims is not None
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True},
        )
        try:
            registry.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise _refused(str(error)) from None
        self._check_addressee(claims, nonce)
        return claims

    def _check_addressee(self, claims: dict[str, Any], nonce: str) -> None:
        if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise _refused("it belongs to another sign-in")
        several = isinstance(claims["aud"], list) and len(cast("list[Any]", claims["aud"])) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._client_id:
            raise _refused("it was made for another client")

    def _vouched(self, claims: dict[str, Any]) -> Vouched:
        email = claims.get("email")
        return Vouched(
            issuer=self._issuer,
            subject=str(claims["sub"]),
            email=email if isinstance(email, str) else "",
            email_verified=claims.get("email_verified") is True,
            name=str(claims.get("name") or ""),
            claims=claims,
        )

    async def _discover(self) -> dict[str, Any]:
        now = time.monotonic()
        if self._published is None or self._published[0] < now:
            url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
            found = await self._get(url)
            if found.get("issuer") != self._issuer:
                raise SystemFault("the OpenID provider says that it is another than STRUCTFORGE_AUTH__OIDC_ISSUER")
            if missing := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys():
                raise SystemFault(f"the OpenID provider does not publish {', '.join(sorted(missing))}")
            self._published = (now + KEEP_S, found)
        return self._published[1]

    async def _key_set(self, *, fresh: bool) -> KeySet:
        now = time.monotonic()
        age_s = None if self._keys is None else now - self._keys[0]
        if age_s is None or age_s > KEEP_S or (fresh and age_s > KEYS_AT_MOST_EVERY_S):
            published = await self._get(str((await self._discover())["jwks_uri"]))
            try:
                self._keys = (now, KeySet.import_key_set(cast("Any", published)))
            except (JoseError, ValueError, TypeError, KeyError):
                raise SystemFault("the OpenID provider publishes keys that cannot be read") from None
        assert self._keys is not None
        return self._keys[1]

    async def _get(self, url: str) -> dict[str, Any]:
        request = HttpRequest(
            "GET", url, timeout_s=TIMEOUT_S, max_redirects=2, max_response_bytes=MAX_ANSWER_BYTES, idempotent=True
        )
        return await self._ask(request)

    async def _ask(self, request: HttpRequest) -> dict[str, Any]:
        try:
            answer = await self._http.send(request)
        except NodeError as error:
            raise SystemFault(f"the OpenID provider does not answer: {error.message}") from None
        if 400 <= answer.status < 500 and request.method == "POST":
            raise Unauthenticated("the provider did not accept this sign-in; begin again")
        try:
            content = orjson.loads(answer.content) if answer.status == 200 else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise SystemFault(f"the OpenID provider answered {answer.status}, and nothing that can be used")
        return cast("dict[str, Any]", content)


def open_provider(settings: Settings) -> Provider | None:
    """The provider of the settings, None if they name none. Raises: ConfigurationError if they name half of one."""
    given = settings.auth
    named = (given.oidc_issuer, given.oidc_client_id, given.oidc_redirect_url)
    if not any(named):
        if not given.password_login:
            raise ConfigurationError("STRUCTFORGE_AUTH__PASSWORD_LOGIN is false and there is no other way to sign in")
        return None
    if not all(named):
        raise ConfigurationError(
            "STRUCTFORGE_AUTH__OIDC_ISSUER, OIDC_CLIENT_ID and OIDC_REDIRECT_URL are set together or not at all"
        )
    return Provider(given, HttpClient(HttpPolicy(allowed_hosts=settings.http.allowed_hosts)))


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"the provider's ID token was not accepted: {why}")
