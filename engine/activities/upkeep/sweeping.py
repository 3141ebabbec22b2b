"""The sweeper: removes objects that no row refers to, tenant by tenant.

An object stays while it is younger than the grace time, and while any execution is open that was made before it was
last written: what that one holds in Temporal's history stands in no row. Objects are written again whenever their
content comes up, which renews their age. Only a 256th of a tenant's objects is in memory at a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engine.activities.clients.objects import ObjectStore
from models.repositories.object_references import ObjectReferences, References
from models.repositories.tenants import Tenants
from models.repositories.upkeep_counts import UpkeepCounts
from models.session import Database
from models.tenancy import TenantId, mint_tenant

OBJECTS_REMOVED = "objects_removed"
# An execution's input is stored before its row is made.
BEFORE_ITS_ROW = timedelta(hours=1)
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Swept:
    """Objects that were looked at, and that were removed."""

    seen: int = 0
    removed: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(self.seen + other.seen, self.removed + other.removed)


@dataclass(slots=True)
class Sweeper:
    """One round of every tenant's objects after another; breaking one off does no harm."""

    database: Database
    objects: ObjectStore
    grace: timedelta

    async def run_once(self) -> Swept:
        """What came of all tenants. Raises: SystemFault if PostgreSQL or the store is away."""
        swept = Swept()
        for tenant in await Tenants(self.database).ids():
            swept += await self.sweep(mint_tenant(tenant))
        return swept

    async def sweep(self, tenant: TenantId) -> Swept:
        """What came of one tenant's objects."""
        references = ObjectReferences(self.database)
        # Asked before the references are read: what an execution that begins now refers to is in them or is younger.
        before = datetime.now(UTC) - self.grace
        oldest = await references.oldest_open(tenant)
        if oldest is not None:
            before = min(before, oldest - BEFORE_ITS_ROW)
        swept = Swept()
        async with references.of(tenant) as found:
            for number in range(256):
                swept += await self._sweep_part(tenant, f"{number:02x}", before, found)
        await UpkeepCounts(self.database).add({OBJECTS_REMOVED: swept.removed})
        return swept

    async def _sweep_part(self, tenant: TenantId, digits: str, before: datetime, found: References) -> Swept:
        objects = await self.objects.objects_of(tenant, digits)
        if not objects:
            return Swept()
        referred = await found.beginning_with(digits)
        loose = [sha256 for sha256, at in objects if at < before and sha256 not in referred]
        gate = asyncio.Semaphore(AT_ONCE)

        async def remove(sha256: str) -> bool:
            async with gate:
                return await self.objects.remove(tenant, sha256, written_before=before)

        return Swept(len(objects), sum(await asyncio.gather(*map(remove, loose))))
