"""What AI calls used, beside the node executions that made them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from api.executions.schemas import NodeUsage
from api.resources import Resources
from models.repositories.ai_usage import AiUsage
from models.repositories.ai_usage import NodeUsage as ModelUsage
from models.rows import NodeKey, NodeRow
from models.tenancy import TenantId


async def usage_of_nodes(
    resources: Resources, tenant: TenantId, execution_id: UUID, rows: Sequence[NodeRow]
) -> dict[NodeKey, NodeUsage]:
    """By node execution; those without AI calls are left out."""
    if not rows:
        return {}
    paths = sorted({row.node_path for row in rows})
    found: dict[NodeKey, list[ModelUsage]] = {}
    for used in await AiUsage(resources.database).of_execution(tenant, execution_id, paths):
        found.setdefault(used.key, []).append(used)
    return {key: _summed(parts) for key, parts in found.items()}


def _summed(parts: Sequence[ModelUsage]) -> NodeUsage:
    total = parts[0].sums
    for part in parts[1:]:
        total = total + part.sums
    models, providers = {part.model for part in parts}, {part.provider for part in parts}
    return NodeUsage(
        calls=total.calls,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        images=total.images,
        cost=total.cost,
        model=models.pop() if len(models) == 1 else None,
        provider=providers.pop() if len(providers) == 1 else None,
    )
