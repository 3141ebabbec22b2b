"""The audit log: entries are added and read, and removed by their age alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from models.jsonb import plain_text
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import AuditEntry
from models.tenancy import TenantId, mint_tenant

NOBODYS_TENANT = mint_tenant(UUID(int=0))  # tries of callers whom nobody knows are kept beside the tenants
_ALL = columns_of(AuditEntry)
_INSERT = """
    INSERT INTO audit_entry (tenant_id, id, actor_kind, user_id, key_id, actor_name, action, target_kind, target_id,
        outcome, reason, request_id, address, facts)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What a list is narrowed to; `action` may end in `.*` for all of a kind."""

    action: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    user_id: UUID | None = None
    key_id: UUID | None = None
    outcome: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog:
    """The table `audit_entry`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant: TenantId, entries: Sequence[AuditEntry]) -> None:
        """Write entries of one tenant; their times are the server's."""
        rows = [
            (
                tenant.uuid, entry.id, entry.actor_kind, entry.user_id, entry.key_id, plain_text(entry.actor_name),
                plain_text(entry.action), plain_text(entry.target_kind), plain_text(entry.target_id), entry.outcome,
                plain_text(entry.reason), plain_text(entry.request_id), plain_text(entry.address), entry.facts,
            )
            for entry in entries
        ]  # fmt: skip
        async with self._database.transaction(tenant) as transaction:
            await transaction.executemany(_INSERT, rows)

    async def list(
        self, tenant: TenantId, narrowed: AuditFilter, *, before: UUID | None = None, limit: int = 50
    ) -> Page[AuditEntry]:
        """Entries, newest first."""
        conditions, arguments = ["tenant_id = $1"], list[object]([tenant.uuid])
        for fragment, argument in _wanted(narrowed, before):
            if argument is not None:
                arguments.append(argument)
                conditions.append(fragment.format(len(arguments)))
        query = f"SELECT {_ALL} FROM audit_entry WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT {limit + 1:d}"
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(query, *arguments)
        return page_of([row_of(AuditEntry, record) for record in records], limit)

    async def forget(self, keep_done: timedelta, keep_refused: timedelta, *, at_most: int = 10_000) -> int:
        """Remove entries of every tenant that are older, but none of the last 30 days; how many went."""
        async with self._database.transaction() as transaction:
            return await transaction.fetchval(
                "SELECT forget_audit_entries($1, $2, $3)", keep_done, keep_refused, at_most
            )


def _wanted(narrowed: AuditFilter, before: UUID | None) -> list[tuple[str, object]]:
    """SQL fragments, all of them constants, and what each is compared with."""
    action = narrowed.action
    of_a_kind = action[:-1] if action is not None and action.endswith(".*") else None
    return [
        ("starts_with(action, ${})", of_a_kind),
        ("action = ${}", action if of_a_kind is None else None),
        ("target_kind = ${}", narrowed.target_kind),
        ("target_id = ${}", narrowed.target_id),
        ("user_id = ${}", narrowed.user_id),
        ("key_id = ${}", narrowed.key_id),
        ("outcome = ${}", narrowed.outcome),
        ("request_id = ${}", narrowed.request_id),
        ("at >= ${}", narrowed.since),
        ("at < ${}", narrowed.until),
        ("id < ${}", before),
    ]
