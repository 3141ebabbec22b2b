"""Reading and following the log of an execution."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import UUID

from api.logs.schemas import LogLineReply, LogPage
from api.resources import Resources
from models.repositories.executions import Executions
from models.repositories.logs import LogFilter, Logs
from models.rows import TERMINAL_EXECUTION_STATUSES
from models.tables import ExecutionLog
from models.tenancy import TenantId

LOOK_EVERY_S = 0.3
SETTLED_S = 1.0  # workers write lines a moment after what they tell of
SIGN_OF_LIFE_S = 15.0
LONGEST_FOLLOW_S = 3600.0


async def page_of(
    resources: Resources, tenant: TenantId, execution_id: UUID, narrowed: LogFilter, *, after: int, limit: int
) -> LogPage:
    """What there is now. Raises: NotFound."""
    ended = await _ended(resources, tenant, execution_id)  # first, for lines may come between the two questions
    rows = await Logs(resources.database).list(tenant, execution_id, narrowed, after=after, limit=limit)
    following = rows[-1].seq if rows else after
    return LogPage(items=[_reply(row) for row in rows], next=following, ended=ended and len(rows) < limit)


async def awaited_page(
    resources: Resources,
    tenant: TenantId,
    execution_id: UUID,
    narrowed: LogFilter,
    *,
    after: int,
    limit: int,
    wait_s: float,
) -> LogPage:
    """The same once there is a line or the execution has ended, after `wait_s` at the latest."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        page = await page_of(resources, tenant, execution_id, narrowed, after=after, limit=limit)
        left = deadline - asyncio.get_running_loop().time()
        if page.items or page.ended or left <= 0:
            return page
        await asyncio.sleep(min(LOOK_EVERY_S, left))


async def followed(
    resources: Resources, tenant: TenantId, execution_id: UUID, narrowed: LogFilter, *, after: int, limit: int
) -> AsyncGenerator[LogPage | None]:
    """Pages as they come, to the end of the execution; the last one says `ended`. None every `SIGN_OF_LIFE_S`."""
    deadline = asyncio.get_running_loop().time() + LONGEST_FOLLOW_S
    while asyncio.get_running_loop().time() < deadline:
        page = await awaited_page(
            resources, tenant, execution_id, narrowed, after=after, limit=limit, wait_s=SIGN_OF_LIFE_S
        )
        yield page if page.items or page.ended else None
        if page.ended:
            return
        after = page.next


async def _ended(resources: Resources, tenant: TenantId, execution_id: UUID) -> bool:
    """Whether the execution ended so long ago that no line of it can be on its way. Raises: NotFound."""
    execution = await Executions(resources.database).get(tenant, execution_id)
    if execution.status not in TERMINAL_EXECUTION_STATUSES or execution.finished_at is None:
        return False
    return (datetime.now(UTC) - execution.finished_at).total_seconds() > SETTLED_S


def _reply(row: ExecutionLog) -> LogLineReply:
    return LogLineReply(
        seq=row.seq,
        at=row.at,
        level=row.level,
        path=row.node_path,
        iteration=row.iteration,
        attempt=row.attempt,
        message=row.message,
        fields=row.fields,
    )
