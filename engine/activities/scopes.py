"""Scopes with data: the wire form of `engine.dag.scope`, read for the evaluator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.activities.clients.objects import Values
from engine.dag.plan import Plan
from engine.dag.values import Value, is_resident, read
from models.tenancy import TenantId


class ScopeReader:
    """Reads scopes of one execution; what is stored elsewhere is loaded once a process."""

    def __init__(self, values: Values, tenant: TenantId, plan: Plan, meta: dict[str, Any]) -> None:
        self._values = values
        self._tenant = tenant
        self._plan = plan
        self._execution = {
            "id": meta["execution_id"],
            "workflow_id": meta["workflow_id"],
            "workflow_name": meta["workflow_name"],
            "started_at": datetime.fromtimestamp(meta["started_at"], UTC).isoformat(),
            "trigger": meta["trigger"],
        }

    async def read(self, wire: dict[str, Any]) -> dict[str, Any]:
        """Top-level names to data; `upstream` is left in the wire form."""
        scope: dict[str, Any] = {"execution": self._execution, "nodes": {}, "vars": {}, "input": None}
        for index, view in wire.get("n", {}).items():
            scope["nodes"][self._plan.nodes[int(index)].id] = await self._node(view)
        for name, value in wire.get("v", {}).items():
            scope["vars"][name] = await self.data(value)
        for name, key in (("input", "i"), ("item", "t"), ("last", "l"), ("error", "e")):
            if key in wire:
                scope[name] = await self.data(wire[key])
        if "x" in wire:
            scope["index"] = wire["x"]
        return scope

    async def data(self, value: Value) -> Any:
        if "v" in value:
            return value["v"]
        return read(value) if is_resident(value) else await self._values.load(self._tenant, value)

    async def _node(self, view: list[Any]) -> dict[str, Any]:
        output = await self.data(view[1])
        node: dict[str, Any] = {"status": view[0], "output": output, "error": None, "ports": {}}
        if len(view) > 2 and view[2]:
            carried = view[3] if len(view) > 3 and view[3] else None
            node["ports"] = {view[2]: output if carried is None else await self.data(carried)}
        if len(view) > 4:
            node["error"] = view[4]
        return node
