"""Rules of notifications: whom a tenant tells of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import NotificationRule
from models.tenancy import TenantId

MAX_RULES = 200
_ALL = columns_of(NotificationRule)
_RULE = "name, events, workflow_id, tag, via, targets, credential, template, include_output, enabled"
_PLACES = ", ".join(f"${number}" for number in range(3, 13))
# Every event looks at all rules of its tenant: they stay few.
_INSERT = f"""
    INSERT INTO notification_rule (tenant_id, id, {_RULE}, created_by)
    SELECT $1, $2, {_PLACES}, $13 WHERE (SELECT count(*) FROM notification_rule WHERE tenant_id = $1) < {MAX_RULES}
    RETURNING {_ALL}
"""
_UPDATE = f"""
    UPDATE notification_rule SET ({_RULE}) = ROW({_PLACES}), updated_at = now()
     WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""
_GET = f"SELECT {_ALL} FROM notification_rule WHERE tenant_id = $1 AND id = $2"
_DELETE = "DELETE FROM notification_rule WHERE tenant_id = $1 AND id = $2 RETURNING 1"
_LIST = f"""
    SELECT {_ALL} FROM notification_rule WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
     ORDER BY id DESC LIMIT $3
"""
_MATCHING = f"""
    SELECT {_ALL} FROM notification_rule
     WHERE tenant_id = $1 AND enabled AND $2 = ANY (events) AND (workflow_id IS NULL OR workflow_id = $3)
       AND (tag IS NULL OR tag = ANY ($4::text[])) ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class RuleText:
    """What a rule says; see `models.tables.NotificationRule`."""

    name: str
    events: list[str]
    via: str
    targets: list[str]
    workflow_id: UUID | None = None
    tag: str | None = None
    credential: str | None = None
    template: dict[str, Any] | None = None
    include_output: bool = False
    enabled: bool = True

    def as_arguments(self) -> tuple[Any, ...]:
        return (
            self.name, self.events, self.workflow_id, self.tag, self.via, self.targets, self.credential, self.template,
            self.include_output, self.enabled,
        )  # fmt: skip


class NotificationRules:
    """The table `notification_rule`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: TenantId, rule: RuleText, *, by: str) -> NotificationRule:
        """Raises: Conflict (NAME_TAKEN, or TOO_MANY_RULES past `MAX_RULES`)."""
        record = await self._written(tenant, rule, _INSERT, new_id(), *rule.as_arguments(), by)
        if record is None:
            raise Conflict(f"a tenant has at most {MAX_RULES} rules: join some", code="TOO_MANY_RULES")
        return row_of(NotificationRule, record)

    async def replace(self, tenant: TenantId, rule_id: UUID, rule: RuleText) -> NotificationRule:
        """Raises: NotFound; Conflict (NAME_TAKEN)."""
        return _found(await self._written(tenant, rule, _UPDATE, rule_id, *rule.as_arguments()))

    async def _written(self, tenant: TenantId, rule: RuleText, query: str, *values: object) -> asyncpg.Record | None:
        try:
            async with self._database.transaction(tenant) as transaction:
                return await transaction.fetchrow(query, tenant.uuid, *values)
        except asyncpg.UniqueViolationError:
            raise Conflict(f"there is a rule called {rule.name!r}", code="NAME_TAKEN") from None

    async def get(self, tenant: TenantId, rule_id: UUID) -> NotificationRule:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            return _found(await transaction.fetchrow(_GET, tenant.uuid, rule_id))

    async def delete(self, tenant: TenantId, rule_id: UUID) -> None:
        """Raises: NotFound. What it had sent stays."""
        async with self._database.transaction(tenant) as transaction:
            if await transaction.fetchval(_DELETE, tenant.uuid, rule_id) is None:
                raise _missing()

    async def list(self, tenant: TenantId, *, before: UUID | None = None, limit: int = 50) -> Page[NotificationRule]:
        """Rules, newest first; `before` is a page's `next`."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST, tenant.uuid, before, limit + 1)
        return page_of([row_of(NotificationRule, record) for record in records], limit)

    async def matching(
        self, tenant: TenantId, event: str, workflow_id: UUID | None, tags: list[str]
    ) -> list[NotificationRule]:
        """The rules that speak of an event, oldest first."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_MATCHING, tenant.uuid, event, workflow_id, tags)
        return [row_of(NotificationRule, record) for record in records]


def _found(record: asyncpg.Record | None) -> NotificationRule:
    if record is None:
        raise _missing()
    return row_of(NotificationRule, record)


def _missing() -> NotFound:
    return NotFound("there is no such notification rule")
