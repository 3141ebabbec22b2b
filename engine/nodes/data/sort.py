"""Data: put the items of a list in order."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.base import ItemExpression, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.item_expressions import field_or_expression
from engine.nodes.item_lists import items_of
from engine.nodes.json_kinds import kind_of

Order = Literal["asc", "desc"]
Nulls = Literal["first", "last"]
_SORTABLE = ("number", "text", "bool")


class SortKey(NodeParams):
    by: Annotated[str, ItemExpression(bare_names=True)] = Field(
        description="A field of the item (total, customer.city), or an expression with item and index"
    )
    order: Order | None = Field(default=None, description="asc or desc; the node's order if left out")
    nulls: Nulls | None = Field(default=None, description="Where nulls go, whatever the order; the node's if left out")


class SortParams(NodeParams):
    """Put the items of a list in order by one or more keys; items that are equal keep their places.

    Numbers sort by size, text by code point, false before true; one key never mixes kinds. Nulls go last, in either
    order, unless `nulls` says first. A plain name means that field of the item, null where an item lacks it.
    """

    items: list[Any] | None = Field(default=None, description="The list; the upstream output if left out")
    sort_by: Annotated[str, ItemExpression(bare_names=True)] | Annotated[list[SortKey], Field(min_length=1)] = Field(
        default="item", description="A field's name, an expression, or a list of keys {by, order, nulls}"
    )
    order: Order = Field(default="asc", description="Direction of keys that name none")
    nulls: Nulls = Field(default="last", description="Place of nulls for keys that name none")


class SortResult(ResultModel):
    items: list[Any] = Field(description="The items in order")


@node(
    "sort",
    category="data",
    kind="local",
    icon="arrow-down-narrow-wide",
    result=SortResult,
    reads_upstream=True,
    examples=[
        {"title": "By a field", "params": {"sort_by": "total", "order": "desc"}},
        {
            "title": "By several keys",
            "params": {"sort_by": [{"by": "country"}, {"by": "item.total * item.rate", "order": "desc"}]},
        },
    ],
)
async def sort_items(params: SortParams, context: NodeContext) -> NodeResult:
    items = items_of(params, context)
    keys = [SortKey(by=params.sort_by)] if isinstance(params.sort_by, str) else params.sort_by
    order = list(range(len(items)))
    # The last key first: each stable pass keeps what the passes before it decided among equals.
    for at, key in reversed([*enumerate(keys)]):
        place = "sort_by" if isinstance(params.sort_by, str) else f"sort_by[{at}].by"
        values = await field_or_expression(key.by, items, context, place)
        _check_one_kind(values, place)
        order = _sorted(order, values, (key.order or params.order) == "desc", (key.nulls or params.nulls) == "first")
    return NodeResult({"items": [items[index] for index in order]})


def _sorted(order: list[int], values: list[Any], descending: bool, nulls_first: bool) -> list[int]:
    nulls = [index for index in order if values[index] is None]
    present = [index for index in order if values[index] is not None]
    present.sort(key=values.__getitem__, reverse=descending)
    return nulls + present if nulls_first else present + nulls


def _check_one_kind(values: list[Any], place: str) -> None:
    first: tuple[int, str] | None = None
    for index, value in enumerate(values):
        if value is None:
            continue
        kind = kind_of(value)
        if first is None:
            first = (index, kind)
        if kind != first[1] or kind not in _SORTABLE:
            raise _unsortable(place, first, index, kind)


def _unsortable(place: str, first: tuple[int, str], index: int, kind: str) -> NodeError:
    if kind not in _SORTABLE:
        text = f"item {index} gives {kind}; only numbers, text and bools have an order"
    else:
        text = f"item {first[0]} gives {first[1]} and item {index} gives {kind}; make them one kind, as in str(item.x)"
    return NodeError(f"{place}: {text}", code=INVALID_CONFIG, details={"parameter": place, "index": index})
