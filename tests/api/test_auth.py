from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from fastapi import FastAPI

from api.auth import SignIn
from api.first_tenant import ensure_first_tenant
from api.resources import Resources
from engine.errors import NotFound, Unauthenticated
from engine.settings import Settings
from models.repositories.api_keys import ApiKeys
from models.tenancy import TenantId
from tests.api.conftest import KEY, caller

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("key", [None, "sf_unknown", "no-prefix", "sf_" + "x" * 500, "sf_\x00"])
async def test_nobody_gets_in_without_a_known_key(app: FastAPI, key: str | None) -> None:
    async with caller(app, None) as client:
        answer = await client.get("/me", headers={} if key is None else {"X-API-Key": key.replace("\x00", "%00")})

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}])
async def test_a_key_is_taken_from_either_header(app: FastAPI, headers: dict[str, str], tenant: TenantId) -> None:
    async with caller(app, None) as client:
        answer = await client.get("/me", headers=headers)

    assert answer.status_code == 200
    assert answer.json()["tenant_id"] == str(tenant)
    assert answer.json()["scopes"] == ["*"]


async def test_an_expired_key_is_refused_even_while_it_is_remembered(resources: Resources, tenant: TenantId) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    key, secret = await ApiKeys(resources.database).create(tenant, "short", expires_at=soon)
    sign_in = SignIn(resources.database)
    assert (await sign_in.identify(secret)).key_id == key.id

    key_known = sign_in._known[next(iter(sign_in._known))]  # pyright: ignore[reportPrivateUsage]
    key_known.expires_at = datetime.now(UTC) - timedelta(seconds=1)  # as if the time had passed

    with pytest.raises(Unauthenticated):
        await sign_in.identify(secret)
    await sign_in.close()


async def test_a_revoked_key_is_refused_once_it_is_forgotten(
    resources: Resources, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.REMEMBER_S", 0.0)
    keys = ApiKeys(resources.database)
    key, secret = await keys.create(tenant, "revoked")
    sign_in = SignIn(resources.database)
    await sign_in.identify(secret)

    await keys.revoke(tenant, key.id)

    with pytest.raises(Unauthenticated):
        await sign_in.identify(secret)
    await sign_in.close()


async def test_the_use_of_a_key_is_noted(resources: Resources, tenant: TenantId) -> None:
    keys = ApiKeys(resources.database)
    key, secret = await keys.create(tenant, "used")
    sign_in = SignIn(resources.database)

    await sign_in.identify(secret)
    await sign_in.close()  # waits for what was begun

    noted = next(row for row in await keys.list(tenant) if row.id == key.id)
    assert noted.last_used_at is not None


async def test_the_first_tenant_is_made_once(resources: Resources, settings: Settings, tenant: TenantId) -> None:
    before = len(await ApiKeys(resources.database).list(tenant))

    assert await ensure_first_tenant(resources.database, settings.api.key) == tenant

    assert len(await ApiKeys(resources.database).list(tenant)) == before


async def test_a_key_of_another_tenant_cannot_become_the_first_key(
    resources: Resources, stranger: httpx2.AsyncClient
) -> None:
    from pydantic import SecretStr

    foreign = stranger.headers["Authorization"].removeprefix("Bearer ")

    with pytest.raises(NotFound):
        await ensure_first_tenant(resources.database, SecretStr(foreign))
