"""Data: keep or drop items of a list by a condition."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from engine.nodes.base import ItemExpression, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.item_expressions import evaluate_over
from engine.nodes.item_lists import items_of


class FilterParams(NodeParams):
    """Keep (or drop) the items of a list for which a condition holds; the order stays.

    A condition holds if its result is true in Python's sense: null, false, 0, empty text, an empty list and an empty
    object do not hold.
    """

    items: list[Any] | None = Field(default=None, description="The list; the upstream output if left out")
    condition: Annotated[str | bool, ItemExpression()] = Field(
        description="Evaluated for each item with item and index, such as item.total >= 100"
    )
    filter_type: Literal["keep", "drop"] = Field(
        default="keep", description="Whether the items for which the condition holds are kept or dropped"
    )


class FilterResult(ResultModel):
    items: list[Any] = Field(description="What is left, in order")
    dropped: int = Field(description="How many items were taken out")


@node(
    "filter",
    category="data",
    kind="local",
    icon="filter",
    result=FilterResult,
    reads_upstream=True,
    examples=[
        {
            "title": "Large orders",
            "params": {"items": "{{ nodes.fetch.output.body.orders }}", "condition": "{{ item.total >= 100 }}"},
        },
        {"title": "Without the cancelled", "params": {"condition": "item.cancelled", "filter_type": "drop"}},
    ],
)
async def filter_items(params: FilterParams, context: NodeContext) -> NodeResult:
    items = items_of(params, context)
    holds = await evaluate_over(params.condition, items, context, "condition")
    keep = params.filter_type == "keep"
    kept = [item for item, held in zip(items, holds, strict=True) if bool(held) is keep]
    return NodeResult({"items": kept, "dropped": len(items) - len(kept)})
