"""Tokens that are not what they say: whatever a header asks for, one key and one algorithm count."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwe, jwt
from joserfc.jwk import OctKey, RSAKey

from api.authentication.tokens import AUDIENCE, ISSUER, TYPE, Tokens
from engine.errors import Unauthenticated

KEY = b"0123456789-abcdefghijklmnopqrstuv-KEY"
OTHER = b"another-key-0123456789-abcdefghijklmn"
LIFETIME_S = 3600  # the tests of a whole run begin long after this module is read
TOKENS = Tokens(lambda: KEY, LIFETIME_S)


def claims(**changes: object) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME_S, "jti": "1"}
    ids = {"sub": str(uuid4()), "tenant": str(uuid4()), "sid": str(uuid4())}
    return {name: value for name, value in {**good, **ids, **changes}.items() if value is not None}


def encoded(part: bytes | dict[str, Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def token(header: dict[str, Any], content: bytes | dict[str, Any] | None = None, key: bytes = KEY) -> str:
    """Signed by HMAC-SHA-256 whatever the header says, as somebody would who may write the header."""
    signed = f"{encoded({'typ': TYPE, **header})}.{encoded(claims() if content is None else content)}"
    return f"{signed}.{encoded(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


RSA = RSAKey.generate_key(2048)
PUBLIC = RSA.as_pem(private=False)
GOOD = token({"alg": "HS256"})
HEAD, BODY, SIGNATURE = GOOD.split(".")

FORGED: dict[str, str] = {
    "none": f"{encoded({'alg': 'none', 'typ': TYPE})}.{BODY}.",
    **{f"alg {alg}": f"{encoded({'alg': alg, 'typ': TYPE})}.{BODY}." for alg in ("None", "NONE", "nOnE", "", " none")},
    "none, with the signature of another": f"{encoded({'alg': 'none', 'typ': TYPE})}.{BODY}.{SIGNATURE}",
    "the algorithm is no text": token({"alg": 256}),
    "the algorithm is a list": token({"alg": ["HS256", "none"]}),
    "no algorithm": f"{encoded({'typ': TYPE})}.{BODY}.{SIGNATURE}",
    **{f"called {alg}": token({"alg": alg}) for alg in ("HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256")},
    "signed with a public key as if it were the secret": token({"alg": "HS256"}, key=PUBLIC),
    "signed by a private key": jwt.encode({"alg": "RS256", "typ": TYPE}, claims(), RSA, algorithms=["RS256"]),
    "another key": token({"alg": "HS256"}, key=OTHER),
    "an empty key": token({"alg": "HS256"}, key=b""),
    **{
        f"kid {kid}": token({"alg": "HS256", "kid": kid}, key=b"")
        for kid in ("/dev/null", "../../dev/null", "' UNION SELECT '", "|id", "http://127.0.0.1/key", "0", "\x00")
    },
    "a key that it brings": token({"alg": "HS256", "jwk": {"kty": "oct", "k": encoded(OTHER)}}, key=OTHER),
    "a place where keys are": token({"alg": "HS256", "jku": "https://keys.example/jwks.json"}, key=OTHER),
    "a place of a certificate": token({"alg": "HS256", "x5u": "https://keys.example/x.pem"}, key=OTHER),
    "a certificate": token({"alg": "HS256", "x5c": [encoded(PUBLIC)]}, key=OTHER),
    "an extension that must be understood": token({"alg": "HS256", "crit": ["b64"], "b64": False}),
    "an extension nobody knows": token({"alg": "HS256", "crit": ["theirs"], "theirs": 1}),
    "another type": token({"alg": "HS256", "typ": "JWT"}),
    "a refresh token's type": token({"alg": "HS256", "typ": "rt+jwt"}),
    "no type": f"{encoded({'alg': 'HS256'})}.{BODY}.{SIGNATURE}",
    "encrypted in place of signed": jwe.encrypt_compact(
        {"alg": "dir", "enc": "A256GCM"}, json.dumps(claims()), OctKey.import_key(hashlib.sha256(KEY).digest())
    ),
    "what is sealed for a browser": TOKENS.seal(claims(), 60),
    **{f"without {name}": token({"alg": "HS256"}, claims(**{name: None})) for name in claims()},
    "expired": token({"alg": "HS256"}, claims(exp=int(time.time()) - 1)),
    "never expires": token({"alg": "HS256"}, claims(exp="never")),
    "expires at no number": token({"alg": "HS256"}, claims(exp=None) | {"exp": {}}),
    "not yet": token({"alg": "HS256"}, claims(nbf=int(time.time()) + 600)),
    "for another audience": token({"alg": "HS256"}, claims(aud="structforge-web")),
    "for no audience": token({"alg": "HS256"}, claims(aud=[])),
    "of another issuer": token({"alg": "HS256"}, claims(iss="structforge.example")),
    "of an issuer in other letters": token({"alg": "HS256"}, claims(iss=ISSUER.upper())),
    "a subject that is a name": token({"alg": "HS256"}, claims(sub="admin")),
    "a subject that is a list": token({"alg": "HS256"}, claims(sub=[str(uuid4())])),
    "a tenant that is a path": token({"alg": "HS256"}, claims(tenant="../" + str(uuid4()))),
    "a tenant of all": token({"alg": "HS256"}, claims(tenant="*")),
    "claims that are a list": token({"alg": "HS256"}, b"[]"),
    "claims that are a text": token({"alg": "HS256"}, b'"admin"'),
    "claims that are no JSON": token({"alg": "HS256"}, b"{"),
    "claims with a bomb of brackets": token({"alg": "HS256"}, b"[" * 900),
    "changed claims": f"{HEAD}.{encoded(claims())}.{SIGNATURE}",
    "a cut signature": GOOD[:-6],
    "no signature": f"{HEAD}.{BODY}.",
    "no parts": "token",
    "two parts": f"{HEAD}.{BODY}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five empty parts": "....",
    "the wrong alphabet": GOOD.replace(".", "+"),
    "padded": f"{HEAD}=.{BODY}=.{SIGNATURE}=",
    "a line break": GOOD[:20] + "\n" + GOOD[20:],
    "JSON serialisation": json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}),
    "too long": GOOD + "A" * 2000,
    "not ASCII": "é.é.é",
    "NUL": GOOD + "\x00",
    "nothing": "",
}


def test_the_honest_token_is_read() -> None:
    assert TOKENS.read(GOOD), "so that each case below fails for its own reason"


def test_corpus_is_large_enough() -> None:
    assert len(set(FORGED.values())) >= 60


@pytest.mark.parametrize("kind", FORGED)
def test_no_forged_token_is_read(kind: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        TOKENS.read(FORGED[kind])
    assert "expired" in caught.value.message, "all are refused alike"


@pytest.mark.parametrize("kind", ["JWT", "sealed", "nothing"])
def test_what_is_signed_does_not_unseal(kind: str) -> None:
    text = {"JWT": GOOD, "sealed": Tokens(lambda: OTHER, 60).seal({"state": "x"}, 60), "nothing": ""}[kind]
    with pytest.raises(Unauthenticated):
        TOKENS.unseal(text)
