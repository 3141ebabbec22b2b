"""Exports: the node executions of one execution, or a list of executions, as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse

from api.executions.cells import MEDIA_TYPES, Format, lines
from api.executions.data import Allowance, shown_data
from api.executions.schemas import ExecutionReply, NodeExecutionReply
from api.executions.service import node_members, reply_of
from api.resources import Resources
from models.repositories.execution_lists import ExecutionFilter, ExecutionLists
from models.repositories.node_executions import NodeExecutions
from models.rows import NodeKey
from models.tables import Execution
from models.tenancy import TenantId

PAGE_ROWS = 100
_DATA = ("input", "input_bytes", "input_omitted", "output", "output_bytes", "output_omitted")
EXECUTION_COLUMNS = (*ExecutionReply.model_fields, *_DATA)
NODE_COLUMNS = tuple(name for name in NodeExecutionReply.model_fields if name != "usage")


def export_of_list(
    resources: Resources, tenant: TenantId, narrowed: ExecutionFilter, form: Format, *, full: bool
) -> StreamingResponse:
    """Executions with their data, newest first."""
    return _streamed(lines(_executions(resources, tenant, narrowed, full=full), EXECUTION_COLUMNS, form), form,
                     "executions")  # fmt: skip


def export_of_nodes(
    resources: Resources, tenant: TenantId, execution: Execution, form: Format, *, full: bool
) -> StreamingResponse:
    """The node executions of an execution with their data, by path, iteration and generation."""
    return _streamed(lines(_nodes(resources, tenant, execution, full=full), NODE_COLUMNS, form), form,
                     f"execution-{execution.id}")  # fmt: skip


async def _executions(
    resources: Resources, tenant: TenantId, narrowed: ExecutionFilter, *, full: bool
) -> AsyncGenerator[dict[str, Any]]:
    async for execution in ExecutionLists(resources.database).every(tenant, narrowed, data=True, page=PAGE_ROWS):
        record = reply_of(execution).model_dump(mode="python")
        for name, value in (("input", execution.input), ("output", execution.output)):
            record |= await shown_data(resources, tenant, name, value, Allowance.of(full=full))
        yield record


async def _nodes(
    resources: Resources, tenant: TenantId, execution: Execution, *, full: bool
) -> AsyncGenerator[dict[str, Any]]:
    after: NodeKey | None = None
    while True:
        rows = await NodeExecutions(resources.database).list(tenant, execution.id, after=after, limit=PAGE_ROWS)
        for row in rows:
            record = node_members(row)
            for name, value in (("input", row.input), ("output", row.output)):
                record |= await shown_data(resources, tenant, name, value, Allowance.of(full=full))
            yield record
        if len(rows) < PAGE_ROWS:
            return
        after = rows[-1].key


def _streamed(content: AsyncGenerator[bytes], form: Format, name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(content, media_type=MEDIA_TYPES[form], headers=headers)
