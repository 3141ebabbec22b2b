"""Data: make a new item of each item of a list."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field

from engine.nodes.base import ItemExpression, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.item_expressions import evaluate_over
from engine.nodes.item_lists import items_of


class MapParams(NodeParams):
    """Make a new item of each item of a list, by one expression or by an object whose every text is an expression."""

    items: list[Any] | None = Field(default=None, description="The list; the upstream output if left out")
    mapping_expression: Annotated[Any, ItemExpression()] = Field(
        description="Expression with item and index, or an object (of any depth) of expressions; "
        "a constant text is written as '\"text\"'"
    )


class MapResult(ResultModel):
    items: list[Any] = Field(description="The new items, in order")


@node(
    "map",
    category="data",
    kind="local",
    icon="shuffle",
    result=MapResult,
    reads_upstream=True,
    examples=[
        {"title": "One field of each", "params": {"mapping_expression": "item.name.upper()"}},
        {
            "title": "Objects",
            "params": {
                "items": "{{ input.orders }}",
                "mapping_expression": {"id": "item.id", "gross": "item.net * 1.19", "place": "index + 1"},
            },
        },
    ],
)
async def map_items(params: MapParams, context: NodeContext) -> NodeResult:
    items = items_of(params, context)
    return NodeResult({"items": await _mapped(params.mapping_expression, items, context, "mapping_expression")})


async def _mapped(shape: Any, items: list[Any], context: NodeContext, place: str) -> list[Any]:
    """One result an item; each expression of the shape is evaluated over all items at once."""
    if isinstance(shape, dict):
        members = cast("dict[str, Any]", shape)
        columns = [await _mapped(part, items, context, f"{place}.{key}") for key, part in members.items()]
        if not columns:
            return [{} for _ in items]
        return [dict(zip(members, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(shape, list):
        parts = cast("list[Any]", shape)
        columns = [await _mapped(part, items, context, f"{place}[{at}]") for at, part in enumerate(parts)]
        return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in items]
    return await evaluate_over(shape, items, context, place)
