from __future__ import annotations

import base64
import json
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from api.authentication.tokens import AUDIENCE, ISSUER, TYPE, Tokens
from api.resources import Resources
from engine.errors import Unauthenticated
from models.repositories.tenants import Tenants
from models.tenancy import TenantId, mint_tenant
from tests.api.conftest import caller
from tests.api.people import make_person, sign_in

KEY = b"0123456789-abcdefghijklmnopqrstuv-KEY"
USER, TENANT, SESSION = uuid4(), uuid4(), uuid4()


def claims(**changes: object) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60, "jti": "1",
        "sub": str(USER), "tenant": str(TENANT), "sid": str(SESSION),
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(content: dict[str, Any], key: bytes = KEY, **header: str) -> str:
    head = {"alg": "HS256", "typ": TYPE, **header}
    return jwt.encode(head, content, OctKey.import_key(key), algorithms=[head["alg"]])


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(lambda: KEY, 60)


def test_what_was_issued_is_read(tokens: Tokens) -> None:
    read = tokens.read(tokens.issue(USER, TENANT, SESSION))
    assert (read.user_id, read.tenant_id, read.session_id) == (USER, TENANT, SESSION)
    assert tokens.read(signed(claims())).user_id == USER  # so that each case below fails for its own reason


RSA = RSAKey.generate_key(2048)
BAD = {
    "alg none": f"{part({'alg': 'none', 'typ': TYPE})}.{part(claims())}.",
    "alg none, in other letters": f"{part({'alg': 'nOnE', 'typ': TYPE})}.{part(claims())}.",
    "another symmetric algorithm": signed(claims(), KEY * 2, alg="HS512"),
    "an asymmetric algorithm": jwt.encode({"alg": "RS256", "typ": TYPE}, claims(), RSA, algorithms=["RS256"]),
    "another key": signed(claims(), b"another-key-0123456789-abcdefghijk"),
    "another kind of token": signed(claims(), typ="JWT"),
    "expired": signed(claims(exp=int(time.time()) - 1)),
    "not yet": signed(claims(nbf=int(time.time()) + 600)),
    "another audience": signed(claims(aud="structforge-web")),
    "another issuer": signed(claims(iss="https://elsewhere.test")),
    "a subject that is no id": signed(claims(sub="admin")),
    "a subject that is no text": signed(claims(sub=1)),
    **{f"without {name}": signed(claims(**{name: None})) for name in claims()},
    "no token": "a.b.c",
    "too long": "a" * 3000 + ".b.c",
    "not ASCII": "é.é.é",
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
def test_a_weak_token_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.read(token)


def test_a_tampered_token_is_refused(tokens: Tokens) -> None:
    head, _, signature = signed(claims()).split(".")
    for changed in (claims(tenant=str(uuid4())), claims(sub=str(uuid4())), claims(exp=2**40)):
        with pytest.raises(Unauthenticated):
            tokens.read(f"{head}.{part(changed)}.{signature}")


def test_what_is_sealed_can_be_neither_read_nor_changed_nor_kept_forever(tokens: Tokens) -> None:
    sealed = tokens.seal({"state": "canary"}, 60)
    assert tokens.unseal(sealed)["state"] == "canary"
    assert "canary" not in base64.urlsafe_b64decode(sealed.replace(".", "") + "==").decode("latin-1")
    for bad in (sealed[:-4] + "AAAA", tokens.seal({"state": "x"}, -1), signed(claims()), ""):
        with pytest.raises(Unauthenticated):
            tokens.unseal(bad)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_good_signature_opens_no_tenant_that_the_login_is_not_for(
    app: FastAPI, resources: Resources, tenant: TenantId
) -> None:
    other = mint_tenant((await Tenants(resources.database).create(f"t-{uuid4().hex[:8]}")).id)
    somebody = await make_person(resources, (tenant, "member"))
    login = await sign_in(app, somebody.email)
    session = resources.tokens.read(login["access_token"]).session_id

    for user_id, tenant_id, session_id in (
        (somebody.id, other.uuid, session),
        (somebody.id, tenant.uuid, UUID(int=7)),
        (uuid4(), tenant.uuid, session),
    ):
        async with caller(app, resources.tokens.issue(user_id, tenant_id, session_id)) as client:
            assert (await client.get("/me")).status_code == 401
