"""What the tests of approvals share: documents that ask, people who answer, and what the table shows."""

from __future__ import annotations

from typing import Any

from engine.contracts import APPROVE, Command
from engine.dag.values import inline
from models.repositories.approvals import Approvals
from models.tables import Approval
from tests.engine.workflows.lab import Started, pure

PORTS = ("approved", "rejected", "timeout")


def approval(node: str = "ask", **params: Any) -> dict[str, Any]:
    more = {key: params.pop(key) for key in ("when", "assign", "on_error", "retry") if key in params}
    return {"id": node, "type": "approval", "params": params, **more}


def routed(node: str = "ask", **params: Any) -> dict[str, Any]:
    """An approval with a node behind each of its ports, which gives the approval's output."""
    nodes = [approval(node, **params), *(pure(port, f"{{{{ nodes.{node}.output }}}}") for port in PORTS)]
    return {"nodes": nodes, "edges": [{"source": node, "source_port": port, "target": port} for port in PORTS]}


async def say(started: Started, by: str, decision: str, path: str = "ask", iteration: list[int] | None = None) -> bool:
    """A person's word, as the API passes it on; whether it was taken."""
    word = Command(APPROVE, path, iteration or [], decision=decision, by=by, form=inline({"from": by}), comment="ok")
    return await started.handle.execute_update("command", word)


async def waits(started: Started, count: int = 1) -> list[Approval]:
    """The open approvals of an execution, once there are so many, in the order they opened."""

    async def holds() -> bool:
        return len(await rows(started, "open")) == count

    await started.lab.eventually(holds)
    return await rows(started, "open")


async def rows(started: Started, *statuses: str) -> list[Approval]:
    table = Approvals(started.lab.stack.runtime.database)
    page = await table.list(started.lab.tenant, statuses=statuses or None, execution_id=started.id, limit=200)
    return page.items[::-1]


async def only(started: Started) -> Approval:
    (row,) = await rows(started)
    return row
