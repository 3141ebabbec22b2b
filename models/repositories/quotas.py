"""Quotas: their rules, and what is used of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from engine.errors import NotFound
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import Quota
from models.tenancy import TenantId

PERIODIC: Final = ("executions", "execution_seconds")
WITHOUT_USE: Final = ("execution_timeout_s",)  # bounds of one execution; nothing is used of them
_ALL = columns_of(Quota)
_CHANGE = f"SELECT {_ALL} FROM change_quota($1, $2, $3, $4, $5)"
_LIST = f"SELECT {_ALL} FROM quota WHERE tenant_id = $1 AND kind <> 'document' ORDER BY kind, period, subject"
_NOW = """
    SELECT quota_used($1, $2, $3, $4), CASE WHEN $4 <> '' THEN quota_expiry($2, $4, now()) END
"""
# A rule for each person or workflow shows those that use something of it, the heaviest first.
_USERS = """
    SELECT c.subject FROM (
        SELECT q.key, q.value, CASE WHEN $4 = '' THEN q.key ELSE substr(q.key, strpos(q.key, '/') + 1) END AS subject
          FROM quota_counter q
         WHERE q.tenant_id = $1 AND q.scope = $2 AND q.value > 0 AND (q.expires_at IS NULL OR q.expires_at > now())) c
     WHERE starts_with(c.subject, $3 || ':') AND c.key = quota_key(c.subject, $4, now())
       AND NOT EXISTS (SELECT FROM quota r WHERE r.tenant_id = $1 AND r.kind = $2 AND r.period = $4
                       AND r.subject = c.subject)
     ORDER BY c.value DESC, c.subject LIMIT 200
"""
_EXPIRED = "DELETE FROM quota_counter WHERE expires_at < now() - $1::interval"


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used of a rule by one subject; `frees_at` is when its period ends."""

    rule: Quota
    subject: str
    used: int
    frees_at: datetime | None


class Quotas:
    """The table `quota`, with its counters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, tenant: TenantId, subject: str, kind: str, period: str, amount: int) -> Quota:
        """Make or change a rule; it holds from the commit on, and those who wait for a higher limit are let in."""
        async with self._database.connection() as connection:
            record = await connection.fetchrow(_CHANGE, tenant.uuid, subject, kind, period, amount)
        assert record is not None
        return row_of(Quota, record)

    async def delete(self, tenant: TenantId, subject: str, kind: str, period: str) -> None:
        """Take a rule away, and let in those who wait for it. Raises: NotFound."""
        async with self._database.connection() as connection:
            record = await connection.fetchrow(_CHANGE, tenant.uuid, subject, kind, period, None)
        if record is None:
            raise NotFound(f"no quota of {kind} for {subject}" + (f" a {period}" if period else ""))

    async def list(self, tenant: TenantId) -> list[Quota]:
        """The rules of a tenant; limits that documents set are not among them."""
        async with self._database.transaction(tenant) as transaction:
            return [row_of(Quota, record) for record in await transaction.fetch(_LIST, tenant.uuid)]

    async def usage(self, tenant: TenantId) -> list[Usage]:
        """What is used of each rule, now. Execution time is in whole seconds."""
        rules = await self.list(tenant)
        found: list[Usage] = []
        async with self._database.transaction(tenant) as transaction:
            for rule in rules:
                if rule.kind in WITHOUT_USE:
                    continue
                subjects: Sequence[str] = [rule.subject]
                if rule.subject in ("user", "workflow"):
                    arguments = (tenant.uuid, rule.kind, rule.subject, rule.period)
                    subjects = [record[0] for record in await transaction.fetch(_USERS, *arguments)]
                for subject in subjects:
                    row = await transaction.fetchrow(_NOW, tenant.uuid, rule.kind, subject, rule.period)
                    assert row is not None
                    used = row[0] // 1000 if rule.kind == "execution_seconds" else row[0]
                    found.append(Usage(rule, subject, used, row[1]))
        return found

    async def remove_expired(self, older_than: timedelta) -> None:
        """Forget counters of periods that are over; for the relay alone."""
        async with self._database.transaction(purpose="relay") as transaction:
            await transaction.execute(_EXPIRED, older_than)
