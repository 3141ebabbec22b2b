from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from models.repositories.nonces import Nonces
from models.session import Database
from models.tenancy import TenantId, mint_tenant

# Tests of a whole run begin long after this module is read.
SOON, LONG_AGO = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(minutes=5)


async def test_a_nonce_is_good_once_for_each_credential_and_tenant(database: Database, tenant: TenantId) -> None:
    nonces, other = Nonces(database), mint_tenant(uuid4())
    tries = await asyncio.gather(*(nonces.spend(tenant, "bank", "n", SOON) for _ in range(8)))
    assert sorted(tries) == [*[False] * 7, True]
    assert await nonces.spend(tenant, "shop", "n", SOON)
    assert await nonces.spend(other, "bank", "n", SOON)


async def test_uses_take_the_expired_ones_away(database: Database, tenant: TenantId) -> None:
    nonces = Nonces(database)
    for number in range(5):
        assert await nonces.spend(tenant, "bank", f"old {number}", LONG_AGO)
    await nonces.spend(tenant, "bank", "new", SOON)
    async with database.transaction(tenant) as transaction:
        left = [row[0] for row in await transaction.fetch("SELECT nonce FROM hook_nonce ORDER BY nonce")]
    assert left == ["new"]
