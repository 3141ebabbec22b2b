"""Data: group the items of a list and compute figures of each group."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from engine.errors import NodeError
from engine.nodes.base import ItemExpression, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.figures import FIGURES, Function
from engine.nodes.item_expressions import evaluate_over, field_or_expression
from engine.nodes.item_lists import items_of
from engine.nodes.json_kinds import json_key
from engine.nodes.markers import is_field_name
from engine.nodes.param_issues import structure_error

_NEED_FIELD = ("sum", "avg", "min", "max", "median", "stddev")


class Aggregation(NodeParams):
    function: Function = Field(
        description="sum, avg, count, min, max, first, last, collect, distinct, median or stddev (of a sample)"
    )
    field: Annotated[str | int | float | bool | None, ItemExpression(bare_names=True)] = Field(
        default=None,
        description="A field of the item or an expression with item and index; the item itself if left out",
    )

    @model_validator(mode="after")
    def _has_field(self) -> Self:
        if self.field is None and self.function in _NEED_FIELD:
            raise structure_error(f"{self.function} needs a field")
        return self


class AggregateParams(NodeParams):
    """Group the items of a list and compute figures of each group.

    Nulls are left out, as in SQL: `count` of a field counts what is not null, `first` and `last` give the first and
    last value that is not null, and a figure of nothing is null (`count` 0, `collect` and `distinct` an empty list).
    `sum` of whole numbers stays whole and exact. Text is never taken for a number. Null is a group of its own.
    """

    items: list[Any] | None = Field(default=None, description="The list; the upstream output if left out")
    group_by: str | list[str] | dict[str, Annotated[str | int | float | bool, ItemExpression()]] = Field(
        default_factory=list[str],
        description="Names of fields, or {name: expression}; without it all items are one group",
    )
    aggregations: dict[str, Aggregation] = Field(
        default_factory=dict[str, Aggregation], description="{name: {function, field}}, one figure each"
    )

    @field_validator("group_by", mode="after")
    @classmethod
    def _names(cls, value: str | list[str] | dict[str, Any]) -> list[str] | dict[str, Any]:
        names = [value] if isinstance(value, str) else value
        for name in names if isinstance(names, list) else ():
            if not is_field_name(name):
                raise ValueError(f"{name[:40]!r} is no field's name: write an expression as {{name: expression}}")
        return names

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        both = [name for name in self.group_by if name in self.aggregations]
        if both:
            raise structure_error(f"{', '.join(both)} names both a group and an aggregation: rename one")
        return self


class AggregateResult(ResultModel):
    groups: list[dict[str, Any]] = Field(description="One object a group, in the order of their first items")


@node(
    "aggregate",
    category="data",
    kind="local",
    icon="sigma",
    result=AggregateResult,
    reads_upstream=True,
    examples=[
        {
            "title": "Revenue by country",
            "params": {
                "items": "{{ nodes.read.output.content }}",
                "group_by": ["country"],
                "aggregations": {
                    "orders": {"function": "count"},
                    "revenue": {"function": "sum", "field": "item.price * item.quantity"},
                },
            },
        },
        {
            "title": "By year of a date",
            "params": {
                "group_by": {"year": "item.date[:4]"},
                "aggregations": {"warmest": {"function": "max", "field": "temp_max"}},
            },
        },
    ],
)
async def aggregate(params: AggregateParams, context: NodeContext) -> NodeResult:
    items = items_of(params, context)
    labels = await _labels(params, items, context)
    columns = {name: (spec, await _column(name, spec, items, context)) for name, spec in params.aggregations.items()}
    groups: list[dict[str, Any]] = []
    for members in _members(labels, len(items)):
        group = {name: values[members[0]] for name, values in labels.items()}
        for name, (spec, values) in columns.items():
            group[name] = _figure(name, spec.function, values, members)
        groups.append(group)
    return NodeResult({"groups": groups})


async def _labels(params: AggregateParams, items: list[Any], context: NodeContext) -> dict[str, list[Any]]:
    group_by = params.group_by
    if isinstance(group_by, dict):
        return {
            name: await evaluate_over(source, items, context, f"group_by.{name}") for name, source in group_by.items()
        }
    return {name: await field_or_expression(name, items, context, "group_by") for name in group_by}


async def _column(name: str, spec: Aggregation, items: list[Any], context: NodeContext) -> list[Any]:
    if spec.field is None:
        return items
    return await field_or_expression(spec.field, items, context, f"aggregations.{name}.field")


def _members(labels: dict[str, list[Any]], count: int) -> list[list[int]]:
    """Indexes of the items of each group, in first-seen order."""
    if not labels:
        return [[*range(count)]]
    groups: dict[Hashable, list[int]] = {}
    for index, row in enumerate(zip(*labels.values(), strict=True)):
        groups.setdefault(tuple(map(json_key, row)), []).append(index)
    return [*groups.values()]


def _figure(name: str, function: Function, values: list[Any], members: list[int]) -> Any:
    present = [(index, values[index]) for index in members if values[index] is not None]
    try:
        return FIGURES[function](present)
    except NodeError as error:
        raise NodeError(
            f"aggregations.{name}: {error.message}", code=error.code, details={**error.details, "aggregation": name}
        ) from None
