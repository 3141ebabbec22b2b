"""Control: run a graph again and again: a number of times, while a condition holds, or for each item."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from engine.errors import RESOURCE_EXHAUSTED, NodeError
from engine.nodes.base import Constant, Graph, ItemExpression, NodeContext, NodeParams, ResultModel, node
from engine.nodes.item_lists import items_of
from engine.nodes.param_issues import structure_error


class LoopParams(NodeParams):
    """Run a body for each item of a list (`foreach`), a number of times (`for`), or while a condition holds (`while`).

    In the body, `index` is the pass (from 0) and `item` the item of a foreach. The results keep the order of the passes
    whatever the concurrency.
    """

    loop_type: Annotated[Literal["for", "while", "foreach"], Constant()] = Field(description="for, while or foreach")
    count: int | None = Field(default=None, ge=0, description="for: how many passes")
    items: list[Any] | None = Field(default=None, description="foreach: the list; the upstream output if left out")
    condition: Annotated[str | bool | None, ItemExpression()] = Field(
        default=None, description="while: evaluated before each pass, sees index and last (the previous pass's outputs)"
    )
    break_condition: Annotated[str | bool | None, ItemExpression()] = Field(
        default=None, description="Evaluated after each pass, sees last, item and index; ends the loop if it holds"
    )
    max_iterations: int = Field(default=1000, ge=1, le=1_000_000, description="More passes are RESOURCE_EXHAUSTED")
    concurrency: int = Field(default=1, ge=1, le=1000, description="Passes at a time; for and foreach")
    on_item_error: Literal["fail", "continue"] = Field(
        default="fail", description='continue: the result of a pass that fails is {"error": ...}'
    )
    body: Annotated[dict[str, Any] | None, Graph()] = Field(default=None, description="{nodes, edges, outputs}")

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        needed = {"for": "count", "while": "condition"}.get(self.loop_type)
        if needed is not None and getattr(self, needed) is None:
            raise structure_error(f"a {self.loop_type} loop needs {needed}")
        if self.loop_type == "while" and self.concurrency > 1:
            raise structure_error("a while loop runs one pass at a time: leave concurrency out")
        if self.loop_type != "while" and self.condition is not None:
            raise structure_error("condition belongs to while loops: use break_condition to end this one early")
        return self


class LoopResult(ResultModel):
    items: list[Any] = Field(description="The outputs of the passes, in order")
    iterations: int = Field(description="How many passes there were")
    broken: bool = Field(description="Whether break_condition ended the loop")


@node(
    "loop",
    category="control",
    kind="container",
    icon="repeat",
    result=LoopResult,
    expression_names=("item", "index", "last"),
    reads_upstream=True,
    examples=[
        {
            "title": "Each order",
            "params": {
                "loop_type": "foreach",
                "items": "{{ nodes.fetch.output.body.orders }}",
                "concurrency": 10,
                "body": {
                    "nodes": [{"id": "price", "type": "transform", "params": {"mapping": "{{ item.total }}"}}],
                    "edges": [],
                    "outputs": "{{ nodes.price.output }}",
                },
            },
        }
    ],
)
async def open_loop(params: LoopParams, context: NodeContext) -> dict[str, Any]:
    """`{"items": list | None, "count": n | None, "max_iterations", "concurrency", "on_item_error", "condition",
    "break_condition"}`; the two conditions are expression sources, evaluated between the passes.

    Raises: NodeError RESOURCE_EXHAUSTED if a known number of passes is over `max_iterations`.
    """
    items = items_of(params, context) if params.loop_type == "foreach" else None
    count = params.count if params.loop_type == "for" else None
    passes = len(items) if items is not None else count or 0
    if passes > params.max_iterations:
        raise NodeError(
            f"{passes} passes are more than max_iterations ({params.max_iterations}): raise it, or take fewer items",
            code=RESOURCE_EXHAUSTED,
            details={"passes": passes, "max_iterations": params.max_iterations},
        )
    kept = {"max_iterations", "concurrency", "on_item_error", "condition", "break_condition"}
    return {"items": items, "count": count, **params.model_dump(include=kept)}
