"""Executions of the record for tests of upkeep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from models.repositories.executions import Executions, NewExecution
from models.repositories.logs import LogLine, Logs
from models.repositories.node_executions import NodeExecutions
from models.rows import Finish, NodeRow
from models.session import Database
from models.tenancy import TenantId


def id_at(moment: datetime) -> UUID:
    """A UUIDv7 of that time."""
    return UUID(f"{int(moment.timestamp() * 1000):012x}7{uuid4().hex[13:]}")


async def finish(database: Database, tenant: TenantId, execution: UUID, at: datetime | None = None) -> None:
    end = Finish(tenant, execution, "success", 0, 0, at or datetime.now(UTC), final=True)
    await NodeExecutions(database).write([], finishes=[end])


async def aged(database: Database, tenant: TenantId, age: timedelta, *, ended: bool = True, **labels: Any) -> UUID:
    """An execution with a node and a log line that ended so long ago."""
    at = datetime.now(UTC) - age
    new = NewExecution(uuid4(), uuid4(), "w", id=id_at(at), labels=labels)
    await Executions(database).create_execution(tenant, new)
    await NodeExecutions(database).write([NodeRow(tenant, new.id, "a", "http", "success", output={"v": 1, "n": 1})])
    await Logs(database).append([LogLine(tenant, new.id, "info", "said")])
    if ended:
        await finish(database, tenant, new.id, at)
    return new.id
