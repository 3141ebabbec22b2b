"""Control: a value names the way on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, cast

from pydantic import Field

from engine.errors import Issue
from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.json_kinds import json_key
from engine.nodes.markers import templated_paths
from engine.nodes.port_names import PortName, default_port_of, routing_ports

_DEFAULT = "default"


class Case(NodeParams):
    value: Any = Field(description="Compared with switch_value as JSON: 1 is 1.0, and neither '1' nor true")
    output_port: PortName = Field(description="Port that is emitted if the value is equal; a constant")


class SwitchParams(NodeParams):
    """Go on by the port of the first case whose value is equal, else by the default port.

    The port carries the upstream output.
    """

    switch_value: Any = Field(description="The value that decides, such as {{ input.country }}")
    cases: list[Case] = Field(min_length=1, max_length=500, description="Compared in order")
    default_port: PortName = Field(default=_DEFAULT, description="Port that is emitted if no case is equal")


class SwitchResult(ResultModel):
    port: str = Field(description="The port that was emitted")
    value: Any = Field(description="The value that decided")


def _unreachable_cases(params: Mapping[str, Any], path: str) -> list[Issue]:
    """A warning for each constant case that repeats an earlier one. Values of templates may meet at run time."""
    seen: dict[Hashable, int] = {}
    issues: list[Issue] = []
    rows = params.get("cases")
    for at, row in enumerate(cast("list[Any]", rows) if isinstance(rows, list) else []):
        if not isinstance(row, dict) or "value" not in row or [*templated_paths(row)]:
            continue
        first = seen.setdefault(json_key(cast("dict[str, Any]", row)["value"]), at)
        if first != at:
            message = f"this case has the value of cases[{first}] and can never be reached"
            issues.append(
                Issue("UNREACHABLE_CASE", f"{path}.cases[{at}].value", message, "remove one of them", "warning")
            )
    return issues


@node(
    "switch",
    category="control",
    kind="local",
    icon="signpost",
    ports=(_DEFAULT, "error"),
    result=SwitchResult,
    ports_for=lambda params: routing_ports(params, "cases", _DEFAULT),
    default_port_for=lambda params: default_port_of(params, _DEFAULT),
    check=_unreachable_cases,
    examples=[
        {
            "title": "By country",
            "params": {
                "switch_value": "{{ input.country }}",
                "cases": [{"value": "DE", "output_port": "germany"}, {"value": "FR", "output_port": "france"}],
            },
        }
    ],
)
async def switch(params: SwitchParams, context: NodeContext) -> NodeResult:
    key = json_key(params.switch_value)
    found = (case.output_port for case in params.cases if json_key(case.value) == key)
    port = next(found, params.default_port)
    return NodeResult({"port": port, "value": params.switch_value}, port, passes_upstream=True)
