"""Keys are rotated over all tenants' credentials, and nothing is lost on the way."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from models.repositories.credentials import Credentials, KeyRotation, NewCredential, binding_of, sealed_of
from models.rotation import rewrap_all
from models.sealing import Binding, Keyring, SealBroken
from models.session import Database
from models.tables import Credential
from models.tenancy import TenantId, mint_tenant

OLD = Keyring("rotation-old", {"rotation-old": b"o" * 32})
BOTH = OLD.with_new_key("rotation-new")
NEW = Keyring("rotation-new", {"rotation-new": BOTH.keys["rotation-new"]})


async def stored(database: Database, tenant: TenantId, ring: Keyring, secret: str) -> Credential:
    new = NewCredential(id=uuid4(), name=f"c-{uuid4().hex[:8]}", type="bearer", allowed_hosts=["a.example"])
    sealed = ring.seal({"token": secret}, Binding(tenant.uuid, new.id, 1, "bearer", ("a.example",)))
    return await Credentials(database).create(tenant, new, sealed)


async def test_all_tenants_are_rewrapped_and_a_broken_one_is_named(database: Database, tenant: TenantId) -> None:
    other = mint_tenant(uuid4())
    rows = [await stored(database, one, OLD, f"secret-{one}") for one in (tenant, other, other)]
    broken = await stored(database, tenant, Keyring("rotation-lost", {"rotation-lost": b"l" * 32}), "lost")
    report = await rewrap_all(database, BOTH)
    assert report.rewrapped >= 3
    assert broken.id in report.unreadable
    assert report.remaining == len(report.unreadable)
    for row in rows:
        owner = mint_tenant(row.tenant_id)
        now = await Credentials(database).get(owner, row.id)
        assert (now.key_id, now.version, now.updated_at) == ("rotation-new", 1, row.updated_at)
        assert NEW.open(sealed_of(now), binding_of(now)) == {"token": f"secret-{owner}"}
        with pytest.raises(SealBroken):
            OLD.open(sealed_of(now), binding_of(now))
    again = await rewrap_all(database, BOTH)
    assert again.rewrapped == 0


async def test_rotation_leaves_alone_what_was_replaced_meanwhile(database: Database, tenant: TenantId) -> None:
    row = await stored(database, tenant, OLD, "first")
    binding = Binding(tenant.uuid, row.id, 2, "bearer", ("b.example",))
    replaced = await Credentials(database).replace(tenant, row, ["b.example"], OLD.seal({"token": "second"}, binding))
    assert not await KeyRotation(database).rewrap(row, BOTH.rewrap(sealed_of(row), binding_of(row)))
    now = await Credentials(database).get(tenant, row.id)
    assert now.wrapped_key == replaced.wrapped_key


async def test_rotation_cannot_give_a_credential_to_another_tenant(database: Database, tenant: TenantId) -> None:
    row = await stored(database, tenant, OLD, "mine")
    async with database.transaction(purpose="relay") as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM credential WHERE id = $1", row.id) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(purpose="key_rotation") as transaction:
            await transaction.execute("UPDATE credential SET tenant_id = $1 WHERE id = $2", uuid4(), row.id)
    assert (await Credentials(database).get(tenant, row.id)).tenant_id == tenant.uuid
