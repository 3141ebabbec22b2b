"""Closing the record of an execution that ends well inside an activity, together with the rows that end it.

It saves the interpreter one more activity. Any other end, and one that cannot be proven complete, stays its business.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from engine.activities.observation import execution_ended
from engine.activities.rows import finished_message
from engine.activities.runtime import ExecutionRuntime
from engine.contracts import LARGE_OUTPUT_BYTES
from engine.dag.digest import add_digests
from engine.dag.values import Value, wire_size
from models.rows import Finish, NodeRow


async def close_as_success(
    runtime: ExecutionRuntime,
    closing: dict[str, Any],
    own: list[NodeRow],
    output: Value,
    *,
    inner: tuple[int, int] = (0, 0),
) -> bool:
    """Close the record with `own` rows, which are with the recorder already; whether it is closed as successful.

    `closing` holds `count`, `digest` and `handled_failures` of what had settled before; `inner` counts rows that are
    committed. Raises: SystemFault if PostgreSQL does not answer.
    """
    if wire_size(output) > LARGE_OUTPUT_BYTES:
        return False
    now = datetime.now(UTC)
    result = await runtime.shared.recorder.finish(
        Finish(
            tenant=runtime.tenant,
            execution_id=UUID(runtime.meta["execution_id"]),
            status="success",
            count=closing["count"] + len(own) + inner[0],
            digest=add_digests([closing["digest"], inner[1], *(row.digest for row in own)]),
            finished_at=now,
            output=output,
            attempt=runtime.meta["attempt"],
            handled_failures=closing["handled_failures"] + sum(_is_handled(row) for row in own),
            messages=(finished_message(runtime.meta, "success"),),
        )
    )
    if result.closed:
        execution_ended(runtime.meta, result.status, now)
    return result.closed and result.status == "success"


def _is_handled(row: NodeRow) -> bool:
    return row.status == "failed" and row.port is not None
