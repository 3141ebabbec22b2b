"""The outbox: messages that left with a transaction, delivered at least once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from models.repositories.records import columns_of, row_of
from models.session import Connection, Database
from models.tables import Outbox
from models.tenancy import TenantId

_ALL = columns_of(Outbox)
_CLAIM = f"""
    SELECT {_ALL} FROM outbox WHERE delivered_at IS NULL ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""


class Claim:
    """Undelivered messages that no other relay sees while the claim lasts."""

    def __init__(self, messages: list[Outbox]) -> None:
        self.messages = messages
        self.delivered: list[UUID] = []

    def mark_delivered(self, message: Outbox) -> None:
        self.delivered.append(message.id)


class OutboxMessages:
    """The table `outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    async def add(transaction: Connection, tenant: TenantId, kind: str, payload: dict[str, Any]) -> None:
        """Add a message to a transaction that does what the message is about."""
        insert = "INSERT INTO outbox (tenant_id, kind, payload) VALUES ($1, $2, $3)"
        await transaction.execute(insert, tenant.uuid, kind, payload)

    @asynccontextmanager
    async def claim(self, limit: int = 100) -> AsyncGenerator[Claim]:
        """Messages of every tenant, oldest first, for the relay alone; those marked are delivered when it ends."""
        async with self._database.transaction(purpose="relay") as transaction:
            claim = Claim([row_of(Outbox, record) for record in await transaction.fetch(_CLAIM, limit)])
            yield claim
            if claim.delivered:
                done = "UPDATE outbox SET delivered_at = now() WHERE id = ANY ($1)"
                await transaction.execute(done, claim.delivered)

    async def forget(self, older_than: timedelta) -> int:
        """Remove delivered messages of that age, for the reconciler alone; how many there were."""
        query = "DELETE FROM outbox WHERE delivered_at < now() - $1::interval"
        async with self._database.transaction(purpose="reconciler") as transaction:
            return int((await transaction.execute(query, older_than)).rpartition(" ")[2])
