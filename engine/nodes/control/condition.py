"""Control: the first condition that holds names the way on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.errors import NodeError
from engine.nodes.base import ItemExpression, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.item_expressions import evaluate_each
from engine.nodes.port_names import PortName, default_port_of, routing_ports

_DEFAULT = "else"


class Branch(NodeParams):
    condition: Annotated[str | bool, ItemExpression()] = Field(description="Expression, such as input.total > 100")
    output_port: PortName = Field(description="Port that is emitted if the condition holds; a constant")


class ConditionParams(NodeParams):
    """Go on by the port of the first condition that holds, else by the default port.

    The port carries the upstream output. Conditions hold if they are true in Python's sense; those behind the first one
    that holds do not matter, not even if they fail.
    """

    conditions: list[Branch] = Field(min_length=1, max_length=500, description="Tried in order")
    default_port: PortName = Field(default=_DEFAULT, description="Port that is emitted if no condition holds")


class ConditionResult(ResultModel):
    port: str = Field(description="The port that was emitted")


@node(
    "condition",
    category="control",
    kind="local",
    icon="split",
    ports=(_DEFAULT, "error"),
    result=ConditionResult,
    ports_for=lambda params: routing_ports(params, "conditions", _DEFAULT),
    default_port_for=lambda params: default_port_of(params, _DEFAULT),
    examples=[
        {
            "title": "Two ways",
            "params": {"conditions": [{"condition": "{{ input.total > 100 }}", "output_port": "large"}]},
        }
    ],
)
async def condition(params: ConditionParams, context: NodeContext) -> NodeResult:
    places = [f"conditions[{at}].condition" for at in range(len(params.conditions))]
    results = await evaluate_each([branch.condition for branch in params.conditions], context, places)
    for branch, result in zip(params.conditions, results, strict=True):
        if isinstance(result, NodeError):
            raise result
        if result:
            return _go(branch.output_port)
    return _go(params.default_port)


def _go(port: str) -> NodeResult:
    return NodeResult({"port": port}, port, passes_upstream=True)
