"""The outbox: messages that left with a transaction, delivered at least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from engine.errors import NotFound
from models.repositories.records import columns_of, row_of
from models.session import Connection, Database
from models.tables import Outbox
from models.tenancy import TenantId

FINISHED = "execution.finished"
# What workers of the version before write for the same.
FINISHED_BEFORE = "execution_finished"
ALL_WORKFLOWS = UUID(int=0)
UNKNOWN_AFTER = timedelta(hours=1)

_ALL = columns_of(Outbox)
_OF_OUTBOX = ", ".join(f"o.{name}" for name in _ALL.split(", "))
# Nobody else sees the message before `next_try`; who claimed it and died has left it to others by then.
_CLAIM = f"""
    UPDATE outbox o SET attempts = o.attempts + 1, next_try = clock_timestamp() + $3::interval
      FROM (SELECT tenant_id, id FROM outbox
             WHERE delivered_at IS NULL AND parked_at IS NULL AND next_try <= clock_timestamp() AND kind = ANY ($2)
             ORDER BY next_try LIMIT $1 FOR UPDATE SKIP LOCKED) due
     WHERE o.tenant_id = due.tenant_id AND o.id = due.id RETURNING {_OF_OUTBOX}
"""
# Whoever waits for ends of executions has a row in one of two small tables, of the tenant and mostly of the workflow.
_SETTLE_UNHEARD = f"""
    UPDATE outbox o SET delivered_at = clock_timestamp()
      FROM (SELECT m.tenant_id, m.id FROM outbox m
             WHERE m.delivered_at IS NULL AND m.parked_at IS NULL AND m.next_try <= clock_timestamp()
               AND m.kind IN ('{FINISHED}', '{FINISHED_BEFORE}') AND m.attempts = 0
               AND NOT EXISTS (
                   SELECT FROM event_trigger t
                    WHERE t.tenant_id = m.tenant_id AND t.workflow_id::text <> m.payload->>'workflow_id'
                      AND (t.pattern IN ('structforge.*', 'structforge.execution.*', 'structforge.execution.finished')
                           OR t.pattern = 'structforge.execution.' || CASE m.payload->>'status'
                              WHEN 'success' THEN 'succeeded' ELSE m.payload->>'status' END))
               AND NOT EXISTS (
                   SELECT FROM outbox_interest i WHERE i.tenant_id = m.tenant_id AND i.kind = '{FINISHED}'
                      AND i.workflow_id::text IN ('{ALL_WORKFLOWS}', m.payload->>'workflow_id'))
             ORDER BY m.next_try LIMIT $1 FOR UPDATE OF m SKIP LOCKED) unheard
     WHERE o.tenant_id = unheard.tenant_id AND o.id = unheard.id
"""
# Messages of a kind that no process handles are left to newer processes for a while.
_SETTLE_UNKNOWN = """
    UPDATE outbox SET delivered_at = clock_timestamp()
     WHERE delivered_at IS NULL AND parked_at IS NULL AND next_try < now() - $2::interval AND kind <> ALL ($1)
"""
_DELIVERED = "UPDATE outbox SET delivered_at = clock_timestamp(), failure = NULL WHERE id = ANY ($1)"
_FAILED = """
    UPDATE outbox o SET failure = f.failure, next_try = clock_timestamp() + make_interval(secs => f.pause_s),
           parked_at = CASE WHEN f.parked THEN clock_timestamp() END,
           attempts = CASE WHEN f.counted THEN o.attempts ELSE greatest(o.attempts - 1, 0) END
      FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::boolean[], $5::boolean[])
           AS f (id, failure, pause_s, parked, counted)
     WHERE o.id = f.id AND o.delivered_at IS NULL
"""
_GIVEN_BACK = """
    UPDATE outbox SET attempts = greatest(attempts - 1, 0), next_try = clock_timestamp()
     WHERE id = ANY ($1) AND delivered_at IS NULL
"""
_COUNTS = """
    SELECT count(*) FILTER (WHERE parked_at IS NULL) AS waiting, count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked
      FROM outbox WHERE delivered_at IS NULL
"""
_PARKED = f"""
    SELECT {_ALL} FROM outbox WHERE tenant_id = $1 AND parked_at IS NOT NULL ORDER BY parked_at DESC, id LIMIT $2
"""
_UNPARK = """
    WITH again AS (
        UPDATE outbox SET parked_at = NULL, attempts = 0, next_try = clock_timestamp()
         WHERE tenant_id = $1 AND id = $2 AND parked_at IS NOT NULL RETURNING 1)
    SELECT pg_notify('structforge_outbox', '') FROM again
"""
_LISTEN = """
    INSERT INTO outbox_interest (tenant_id, kind, workflow_id, listener) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_UNLISTEN = """
    DELETE FROM outbox_interest WHERE tenant_id = $1 AND kind = $2 AND workflow_id = $3 AND listener = $4
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """A delivery that failed: why, and in how many seconds it is tried again; a parked one is not.

    One that is not `counted` says nothing against the message.
    """

    id: UUID
    reason: str
    pause_s: float = 0.0
    parked: bool = False
    counted: bool = True


class OutboxMessages:
    """The table `outbox`, and who waits for what (`outbox_interest`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    async def add(transaction: Connection, tenant: TenantId, kind: str, payload: dict[str, Any]) -> None:
        """Add a message to a transaction that does what the message is about."""
        insert = "INSERT INTO outbox (tenant_id, kind, payload) VALUES ($1, $2, $3)"
        await transaction.execute(insert, tenant.uuid, kind, payload)

    # ---- for the dispatcher alone

    async def claim(self, kinds: Sequence[str], lease: timedelta, *, limit: int = 100) -> list[Outbox]:
        """Messages of every tenant that are due, the longest due first; nobody else gets them while the lease lasts."""
        async with self._database.transaction(purpose="relay") as transaction:
            records = await transaction.fetch(_CLAIM, limit, list(kinds), lease)
        return [row_of(Outbox, record) for record in records]

    async def settle_unheard(self, *, limit: int = 5000) -> int:
        """Mark ends of executions that nobody waits for as delivered, in one statement; how many there were."""
        async with self._database.transaction(purpose="relay") as transaction:
            return _count(await transaction.execute(_SETTLE_UNHEARD, limit))

    async def settle_unknown(self, kinds: Sequence[str]) -> int:
        """The same for messages of other `kinds` than these, once newer processes have had an hour for them."""
        async with self._database.transaction(purpose="relay") as transaction:
            return _count(await transaction.execute(_SETTLE_UNKNOWN, list(kinds), UNKNOWN_AFTER))

    async def settle(self, delivered: Sequence[UUID], failed: Sequence[Failure], given_back: Sequence[UUID]) -> None:
        """Write what came of claimed messages; those given back are due at once, as if they had not been claimed."""
        async with self._database.transaction(purpose="relay") as transaction:
            if delivered:
                await transaction.execute(_DELIVERED, list(delivered))
            if failed:
                rows = [(one.id, one.reason, one.pause_s, one.parked, one.counted) for one in failed]
                await transaction.execute(_FAILED, *map(list, zip(*rows, strict=True)))
            if given_back:
                await transaction.execute(_GIVEN_BACK, list(given_back))

    async def counts(self) -> tuple[int, int]:
        """How many messages of all tenants wait, and how many are parked."""
        async with self._database.transaction(purpose="relay") as transaction:
            record = await transaction.fetchrow(_COUNTS)
        assert record is not None
        return record["waiting"], record["parked"]

    async def forget(self, older_than: timedelta) -> int:
        """Remove messages that were delivered or parked that long ago; how many there were."""
        query = """DELETE FROM outbox WHERE delivered_at < now() - $1::interval OR parked_at < now() - $1::interval"""
        async with self._database.transaction(purpose="reconciler") as transaction:
            return _count(await transaction.execute(query, older_than))

    # ---- for people

    async def parked(self, tenant: TenantId, *, limit: int = 100) -> list[Outbox]:
        """A tenant's messages that failed too often, the latest first."""
        async with self._database.transaction(tenant) as transaction:
            return [row_of(Outbox, record) for record in await transaction.fetch(_PARKED, tenant.uuid, limit)]

    async def retry(self, tenant: TenantId, message_id: UUID) -> None:
        """Have a parked message delivered again. Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            if await transaction.fetchrow(_UNPARK, tenant.uuid, message_id) is None:
                raise NotFound(f"no parked message {message_id}")

    # ---- who waits

    async def listen(self, tenant: TenantId, listener: str, *, workflow_id: UUID = ALL_WORKFLOWS) -> None:
        """Have `execution.finished` of a workflow, or of all, handed to the handlers. Repeating it changes nothing."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_LISTEN, tenant.uuid, FINISHED, workflow_id, listener)

    async def unlisten(self, tenant: TenantId, listener: str, *, workflow_id: UUID = ALL_WORKFLOWS) -> None:
        """Take that back."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_UNLISTEN, tenant.uuid, FINISHED, workflow_id, listener)


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
