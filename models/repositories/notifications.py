"""Notifications: what an event concerns, the messages about it, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.grants import EVERYTHING, Sight
from models.repositories.outbox import OutboxMessages
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import Notification
from models.tenancy import TenantId

RESEND = "notification.resend"
_ALL = columns_of(Notification)
_EXECUTION = """
    SELECT e.id, e.workflow_id, e.workflow_name, e.status, e.trigger, e.started_by, e.attempt, e.error, e.created_at,
           e.started_at, e.finished_at, e.duration_ms, w.tags, v.number AS version,
           v.spec #> '{settings,notifications}' AS listed
      FROM execution e
      LEFT JOIN workflow w ON w.tenant_id = e.tenant_id AND w.id = e.workflow_id
      LEFT JOIN workflow_version v ON v.tenant_id = e.tenant_id AND v.id = e.version_id
     WHERE e.tenant_id = $1 AND e.id = $2
"""
_INSERT = """
    INSERT INTO notification (tenant_id, id, outbox_id, event, via, target, rule_id, workflow_id, execution_id,
        approval_id, facts, template, credential, include_output)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (tenant_id, outbox_id, target) DO NOTHING
"""
_UNSENT = f"SELECT {_ALL} FROM notification WHERE tenant_id = $1 AND outbox_id = $2 AND status = 'pending' ORDER BY id"
_GET = f"SELECT {_ALL} FROM notification WHERE tenant_id = $1 AND id = $2"
# A try counts before it begins, so that one which takes its worker along counts too.
_BEGIN = f"""
    UPDATE notification SET status = 'sending', attempts = attempts + 1, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 AND round = $3 AND status IN ('pending', 'sending') RETURNING {_ALL}
"""
_END = """
    UPDATE notification SET status = $4, error = $5, updated_at = now(),
           sent_at = CASE WHEN $4 = 'sent' THEN now() ELSE sent_at END
     WHERE tenant_id = $1 AND id = $2 AND round = $3 AND status = 'sending'
"""
_TAKE_BACK = """
    UPDATE notification SET status = 'pending', attempts = attempts - 1, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 AND round = $3 AND status = 'sending'
"""
_AGAIN = f"""
    UPDATE notification SET status = 'pending', attempts = 0, round = round + 1, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 AND status IN ('sent', 'dead') RETURNING {_ALL}
"""
_LIST = f"""
    SELECT {_ALL} FROM notification
     WHERE tenant_id = $1 AND ($2::text[] IS NULL OR status = ANY ($2)) AND ($3::uuid IS NULL OR execution_id = $3)
       AND ($4::uuid IS NULL OR id < $4) AND {{seen}} ORDER BY id DESC LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution as a notification tells of it; `tags` are its workflow's, `listed` what its document says."""

    id: UUID
    workflow_id: UUID
    workflow_name: str
    facts: dict[str, Any]
    status: str
    tags: list[str] = field(default_factory=list[str])
    listed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to one receiver, before it has a row."""

    event: str
    via: str
    target: str
    facts: dict[str, Any]
    rule_id: UUID | None = None
    workflow_id: UUID | None = None
    execution_id: UUID | None = None
    approval_id: UUID | None = None
    template: dict[str, Any] | None = None
    credential: str | None = None
    include_output: bool = False


class Notifications:
    """The table `notification`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def execution(self, tenant: TenantId, execution_id: UUID) -> Ended | None:
        """What a notification about an execution tells; None if it is gone."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_EXECUTION, tenant.uuid, execution_id)
        if record is None:
            return None
        facts = {
            name: record[name] for name in ("status", "trigger", "started_by", "attempt", "version", "duration_ms")
        }
        times = {
            name: None if record[name] is None else record[name].isoformat()
            for name in ("created_at", "started_at", "finished_at")
        }
        return Ended(
            id=record["id"],
            workflow_id=record["workflow_id"],
            workflow_name=record["workflow_name"],
            facts={"id": str(record["id"]), **facts, **times, "error": record["error"]},
            status=record["status"],
            tags=list(record["tags"] or ()),
            listed=list(record["listed"] or ()),
        )

    async def add(self, tenant: TenantId, outbox_id: UUID, drafts: Sequence[Draft]) -> list[Notification]:
        """Write the messages about one event, one a receiver; all of them that have not been sent, old and new."""
        rows = [
            (
                tenant.uuid, new_id(), outbox_id, one.event, one.via, one.target, one.rule_id, one.workflow_id,
                one.execution_id, one.approval_id, one.facts, one.template, one.credential, one.include_output,
            )
            for one in drafts
        ]  # fmt: skip
        async with self._database.transaction(tenant) as transaction:
            await transaction.executemany(_INSERT, rows)
            records = await transaction.fetch(_UNSENT, tenant.uuid, outbox_id)
        return [row_of(Notification, record) for record in records]

    async def get(self, tenant: TenantId, notification_id: UUID) -> Notification:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, notification_id)
        if record is None:
            raise NotFound("there is no such notification")
        return row_of(Notification, record)

    async def begin(self, tenant: TenantId, notification_id: UUID, round: int) -> Notification | None:
        """Begin another try of a round; None if the round is over, or the row is gone."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_BEGIN, tenant.uuid, notification_id, round)
        return None if record is None else row_of(Notification, record)

    async def end(
        self, tenant: TenantId, notification_id: UUID, round: int, status: str, error: dict[str, Any] | None = None
    ) -> None:
        """What came of a try: sent, dead, or pending for another one."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_END, tenant.uuid, notification_id, round, status, error)

    async def take_back(self, tenant: TenantId, notification_id: UUID, round: int) -> None:
        """Forget a try that our own servers kept from beginning."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_TAKE_BACK, tenant.uuid, notification_id, round)

    async def send_again(self, tenant: TenantId, notification_id: UUID) -> Notification:
        """Begin another round, which the scheduler takes up by the outbox.

        Raises: NotFound; Conflict (NOTIFICATION_UNDER_WAY) while it is being sent.
        """
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_AGAIN, tenant.uuid, notification_id)
            if record is not None:
                payload = {"notification_id": str(notification_id), "round": record["round"]}
                await OutboxMessages.add(transaction, tenant, RESEND, payload)
        if record is None:
            row = await self.get(tenant, notification_id)
            raise Conflict(f"it is on its way already: {row.status}", code="NOTIFICATION_UNDER_WAY")
        return row_of(Notification, record)

    async def list(
        self,
        tenant: TenantId,
        *,
        statuses: Sequence[str] | None = None,
        execution_id: UUID | None = None,
        sight: Sight = EVERYTHING,
        before: UUID | None = None,
        limit: int = 50,
    ) -> Page[Notification]:
        """Notifications about workflows that `sight` shows, newest first; `before` is a page's `next`."""
        condition, seen_by = sight.condition("workflow_id")
        wanted = None if statuses is None else list(statuses)
        arguments: list[object] = [tenant.uuid, wanted, execution_id, before, limit + 1]
        seen = "true"
        if seen_by is not None:
            seen = condition.format(6)
            arguments.append(seen_by)
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST.format(seen=seen), *arguments)
        return page_of([row_of(Notification, record) for record in records], limit)

    async def forget(self, older_than: timedelta) -> int:
        """Remove what was sent or given up that long ago, for the reconciler alone; how many there were."""
        query = "DELETE FROM notification WHERE status IN ('sent', 'dead') AND updated_at < now() - $1::interval"
        async with self._database.transaction(purpose="reconciler") as transaction:
            return int((await transaction.execute(query, older_than)).rpartition(" ")[2])
